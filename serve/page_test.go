package serve_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/internal/shared"
	"haf/pref"
	"haf/reward"
)

const pageAddress = "http://127.0.0.1:8080"

// blocks are the examples of a page in one language, each with the block that follows it at once,
// if any.
func blocks(page, language string) (out [][2]string) {
	parts := strings.Split(page, "```")
	for i := 1; i < len(parts); i += 2 {
		code, ok := strings.CutPrefix(parts[i], language+"\n")
		if !ok {
			continue
		}
		next := ""
		if i+2 < len(parts) && strings.TrimSpace(parts[i+1]) == "" {
			next = parts[i+2]
		}
		out = append(out, [2]string{code, next})
	}
	return out
}

func readPage(t *testing.T) string {
	data, err := os.ReadFile(filepath.Join(shared.Root(), "docs", "reference", "http-api.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestPage runs the shell examples of docs/reference/http-api.md and wants answers of the form that
// it shows, and the same rewards where the page has the same: 1.31 is that of the fox that eats
// mice, whatever the dialect.
func TestPage(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl to run the page's examples with")
	}
	url, local := runDemo(t)
	rewards := scored(t, local, reward.ByScore, samplesOfPage)
	examples := blocks(readPage(t), "sh")
	for _, example := range examples {
		out, err := exec.Command("sh", "-c", strings.ReplaceAll(example[0], pageAddress,
			url)).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", example[0], err, out)
			continue
		}
		var got, want any
		if err := json.Unmarshal(out, &got); err != nil {
			t.Errorf("%sanswers %s", example[0], out)
			continue
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(example[1], "json\n")), &want); err != nil {
			t.Errorf("%sis followed by no JSON: %v", example[0], err)
			continue
		}
		if err := alike(got, want, rewards[0], "reply"); err != nil {
			t.Errorf("%sanswers %s, the page shows %s: %v", example[0], out, example[1], err)
		}
	}
	if len(examples) < 9 {
		t.Errorf("%d examples were found", len(examples))
	}
}

var samplesOfPage = []pref.Sample{ask("what does the fox eat", "the fox eats mice")}

// alike wants values of the same kinds and keys; 1.31 stands for reward.
func alike(got, want any, reward float64, at string) error {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || !slices.Equal(slices.Sorted(maps.Keys(g)), slices.Sorted(maps.Keys(w))) {
			return fmt.Errorf("%s is %v", at, got)
		}
		for key := range w {
			if err := alike(g[key], w[key], reward, at+"."+key); err != nil {
				return err
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Errorf("%s is %v", at, got)
		}
		for i := range w {
			if err := alike(g[i], w[i], reward, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case float64:
		g, ok := got.(float64)
		if !ok || w == 1.31 && !(g-reward < 1e-5 && reward-g < 1e-5) || w == float64(int(w)) && w < 1e9 &&
			g != w {
			return fmt.Errorf("%s is %v, want a number as %v is (1.31 stands for %v)", at, got, want, reward)
		}
	case string:
		g, ok := got.(string)
		if prefix, _, id := strings.Cut(w, "-1c2d"); !ok ||
			!(g == w || id && strings.HasPrefix(g, prefix) || w == "1c2d") {
			return fmt.Errorf("%s is %v", at, got)
		}
	default:
		if got != want {
			return fmt.Errorf("%s is %v", at, got)
		}
	}
	return nil
}

// TestPagePython runs the Python examples, where the clients are installed.
func TestPagePython(t *testing.T) {
	python, _ := contractPython(t)
	url, local := runDemo(t)
	rewards := scored(t, local, reward.ByScore, samplesOfPage)
	examples := blocks(readPage(t), "python")
	for _, example := range examples {
		out, err := exec.Command(python, "-c", strings.ReplaceAll(example[0], pageAddress,
			url)).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", example[0], err, out)
			continue
		}
		// The last number that is printed is the reward, of the reranked document where it is the better
		// one.
		fields := strings.FieldsFunc(string(out),
			func(r rune) bool { return strings.ContainsRune(" []\n", r) })
		var r float64
		if _, err := fmt.Sscan(fields[len(fields)-1], &r); err != nil ||
			!strings.Contains(example[0], "cohere") && (r-rewards[0] > 1e-5 || rewards[0]-r > 1e-5) {
			t.Errorf("%s prints %s, want %v", example[0], out, rewards[0])
		}
	}
	if len(examples) < 3 {
		t.Errorf("%d examples were found", len(examples))
	}
}
