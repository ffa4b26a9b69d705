package source

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"haf/pref"
	"haf/rewarder/rewardertest"
)

// TestVLLMProtocol has vLLM's own request models read what haf sends: see make contract-vllm.
func TestVLLMProtocol(t *testing.T) {
	python, wheel := os.Getenv("HAF_VLLM_PYTHON"), os.Getenv("HAF_VLLM_WHEEL")
	if python == "" || wheel == "" {
		t.Skip("HAF_VLLM_PYTHON and HAF_VLLM_WHEEL name no Python and no wheel: " +
			"run make contract-vllm")
	}
	sample := rewardertest.Samples()[3]
	body, err := vllmBody("ORG/rm", []item{{Sample: sample}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range vllm.paths {
		cmd := exec.Command(python, "testdata/vllm_protocol.py", wheel, strings.TrimPrefix(path, "/"))
		cmd.Stdin, cmd.Stderr = bytes.NewReader(data), os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Type          string
			Unknown       map[string]any
			UseActivation *bool `json:"use_activation"`
			Template      map[string]bool
			Messages      []pref.Message
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		last := len(got.Messages) - 1
		if !strings.HasSuffix(got.Type, "ChatRequest") || len(got.Unknown) > 0 ||
			got.UseActivation == nil || *got.UseActivation ||
			got.Template["add_generation_prompt"] || got.Template["continue_final_message"] ||
			last != len(sample.Prompt) || got.Messages[last].Content != sample.Response {
			t.Errorf("%s is read as %s", path, out)
		}
	}
}
