package tracking_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"haf/internal/tracking"
)

var started = time.Date(2026, 11, 29, 23, 59, 58, 0, time.UTC)

func testRun(t *testing.T) tracking.Run {
	return tracking.Run{Dir: t.TempDir(), Project: "haf", Name: "first", Started: started,
		Params: map[string]string{"train.lr": "1e-05", "model.path": `a|"b"`}}
}

// noWarning fails the test if a tracker warns.
func noWarning(t *testing.T) func(string, ...any) {
	return func(format string, args ...any) { t.Errorf(format, args...) }
}

func open(t *testing.T, run tracking.Run, names ...string) *tracking.Tracker {
	t.Helper()
	tracker, err := tracking.Open(t.Context(), run, names, noWarning(t))
	if err != nil {
		t.Fatal(err)
	}
	return tracker
}

func step(n int, loss float64) []byte {
	return fmt.Appendf(nil, `{"kind":"step","step":%d,"loss":%g,"seconds":2}`, n, loss)
}

const validation = `{"kind":"eval","step":2,"loss":0.25,"rewards":{"score":{"accuracy":0.75,` +
	`"name":"x","bins":[1,2]}},"seconds":1}`

// TestTensorBoard reads the event file back: checksums, times, tags and values, after a resume that
// replays the first step.
func TestTensorBoard(t *testing.T) {
	run := testRun(t)
	first := open(t, run, tracking.TensorBoard)
	first.Record(step(1, 7))
	if err := first.Finish(tracking.Interrupted); err != nil {
		t.Fatal(err)
	}
	again := open(t, run, tracking.TensorBoard)
	again.Replay(step(1, 0.5))
	again.Replay([]byte(validation))
	if err := again.Finish(tracking.Finished); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(run.Dir, "tensorboard", "*tfevents*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("event files %v, %v: want one", files, err)
	}
	var got []string
	for _, event := range tfRecords(t, files[0]) {
		wall := math.Float64frombits(number(event[1]))
		for _, summary := range event[5] {
			for _, item := range fields(t, summary)[1] {
				v := fields(t, item)
				if x, ok := v[2]; ok {
					got = append(got, fmt.Sprintf("%s %d +%gs %g", v[1][0], number(event[2]),
						wall-float64(started.Unix()),
						math.Float32frombits(binary.LittleEndian.Uint32(x[0]))))
				}
			}
		}
	}
	want := []string{
		"train/loss 1 +2s 0.5", "train/seconds 1 +2s 2",
		"eval/loss 2 +3s 0.25", "eval/rewards/score/accuracy 2 +3s 0.75",
		"eval/rewards/score/bins/0 2 +3s 1", "eval/rewards/score/bins/1 2 +3s 2",
		"eval/seconds 2 +3s 1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// tfRecords reads the messages of a file of TFRecords and checks both checksums of each.
func tfRecords(t *testing.T, path string) (messages []map[protowire.Number][][]byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	masked := func(b []byte) uint32 {
		sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
		return (sum>>15 | sum<<17) + 0xa282ead8
	}
	for len(data) > 0 {
		n := binary.LittleEndian.Uint64(data)
		message := data[12 : 12+n]
		if binary.LittleEndian.Uint32(data[8:]) != masked(data[:8]) ||
			binary.LittleEndian.Uint32(data[12+n:]) != masked(message) {
			t.Fatal("a checksum is wrong")
		}
		messages = append(messages, fields(t, message))
		data = data[16+n:]
	}
	return messages
}

// fields splits a message by the numbers of its fields. A number has its eight bytes.
func fields(t *testing.T, b []byte) map[protowire.Number][][]byte {
	t.Helper()
	out := map[protowire.Number][][]byte{}
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		var v []byte
		switch kind {
		case protowire.BytesType:
			v, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			var x uint64
			x, n = protowire.ConsumeVarint(b)
			v = binary.LittleEndian.AppendUint64(nil, x)
		case protowire.Fixed64Type:
			v, n = b[:8], 8
		case protowire.Fixed32Type:
			v, n = b[:4], 4
		default:
			t.Fatalf("wire type %d", kind)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		out[field], b = append(out[field], v), b[n:]
	}
	return out
}

func number(v [][]byte) uint64 {
	if len(v) == 0 {
		return 0
	}
	return binary.LittleEndian.Uint64(v[0])
}

// TestWandB reads the log of the offline run back, whose records fill several blocks.
func TestWandB(t *testing.T) {
	const steps = 700
	run := testRun(t)
	first := open(t, run, tracking.WandB)
	first.Record(step(1, 7))
	if err := first.Finish(tracking.Interrupted); err != nil {
		t.Fatal(err)
	}
	id := wandbFile(t, run)
	again := open(t, run, tracking.WandB)
	for n := range steps {
		again.Replay(step(n+1, 1/float64(n+1)))
	}
	if err := again.Finish(tracking.Finished); err != nil {
		t.Fatal(err)
	}
	path := wandbFile(t, run)
	if path != id {
		t.Errorf("a resumed run is in %s, before in %s: want one id", path, id)
	}
	kinds := map[protowire.Number]int{}
	for i, record := range wandbRecords(t, path) {
		m := fields(t, record)
		if number(m[1]) != uint64(i+1) {
			t.Fatalf("record %d has the number %d", i+1, number(m[1]))
		}
		for field := range m {
			kinds[field]++
		}
		for _, history := range m[2] {
			n := kinds[2]
			if s := number(fields(t, fields(t, history)[2][0])[1]); s != uint64(n) {
				t.Fatalf("history %d is of step %d", n, s)
			}
			item := fields(t, fields(t, history)[1][0])
			want := fmt.Sprintf("train/loss=%v", 1/float64(n))
			if got := fmt.Sprintf("%s=%s", item[1][0], item[16][0]); got != want {
				t.Fatalf("history %d has %s, want %s", n, got, want)
			}
		}
	}
	// header, run, history, summary, exit
	want := map[protowire.Number]int{1: steps + 4, 21: 1, 17: 1, 2: steps, 3: 1, 18: 1}
	if !maps.Equal(kinds, want) {
		t.Errorf("records by field %v, want %v", kinds, want)
	}
}

func wandbFile(t *testing.T, run tracking.Run) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(run.Dir, "wandb", "offline-run-*", "run-*.wandb"))
	if err != nil || len(files) != 1 {
		t.Fatalf("offline runs %v, %v: want one", files, err)
	}
	return files[0]
}

// wandbRecords joins the parts of the records in the blocks of a log.
func wandbRecords(t *testing.T, path string) (records [][]byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(data, []byte(":W&B\xe1\xbe\x00")) {
		t.Fatalf("the log begins with %q", data[:7])
	}
	const block = 32 << 10
	var whole []byte
	for at := 7; at < len(data); {
		if left := block - at%block; left < 7 {
			at += left
			continue
		}
		n, kind := int(binary.LittleEndian.Uint16(data[at+4:])), data[at+6]
		part := data[at+7 : at+7+n]
		if binary.LittleEndian.Uint32(data[at:]) !=
			crc32.ChecksumIEEE(append([]byte{kind}, part...)) {
			t.Fatalf("the checksum at byte %d is wrong", at)
		}
		if whole = append(whole, part...); kind == 1 || kind == 4 {
			records, whole = append(records, whole), nil
		}
		at += 7 + n
	}
	return records
}

// An mlflowServer stands in for MLflow's: it keeps one run.
type mlflowServer struct {
	*httptest.Server
	mutex   sync.Mutex
	down    bool
	status  string
	params  map[string]string
	metrics []map[string]any
	runs    int
}

func newMLflowServer(t *testing.T) *mlflowServer {
	s := &mlflowServer{params: map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *mlflowServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.down {
		http.Error(w, "<html>gone</html>", http.StatusBadGateway)
		return
	}
	var body struct {
		Status  string
		Metrics []map[string]any
		Params  []struct{ Key, Value string }
	}
	if data, _ := io.ReadAll(r.Body); len(data) > 0 && json.Unmarshal(data, &body) != nil {
		http.Error(w, "bad", http.StatusBadRequest)
		return
	}
	answer := any(map[string]any{})
	switch strings.TrimPrefix(r.URL.Path, "/api/2.0/mlflow/") {
	case "experiments/search":
	case "experiments/get-by-name":
		w.WriteHeader(http.StatusNotFound)
		answer = map[string]any{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}
	case "experiments/create":
		answer = map[string]any{"experiment_id": "3"}
	case "runs/create":
		s.runs++
		answer = map[string]any{"run": map[string]any{"info": map[string]any{"run_id": "r1"}}}
	case "runs/get":
		answer = map[string]any{"run": map[string]any{"data": map[string]any{"metrics": s.metrics}}}
	case "runs/log-batch":
		if len(body.Metrics) > 1000 || len(body.Params) > 100 {
			w.WriteHeader(http.StatusBadRequest)
			break
		}
		s.metrics = append(s.metrics, body.Metrics...)
		for _, p := range body.Params {
			s.params[p.Key] = p.Value
		}
	case "runs/update":
		s.status = body.Status
	default:
		w.WriteHeader(http.StatusNotFound)
	}
	json.NewEncoder(w).Encode(answer)
}

func (s *mlflowServer) setDown(down bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.down = down
}

// TestMLflow resumes a run: it stays one run of the server, which gets each value once.
func TestMLflow(t *testing.T) {
	s := newMLflowServer(t)
	run := testRun(t)
	run.URI = s.URL + "/"
	first := open(t, run, tracking.MLflow)
	first.Record(step(1, 0.5))
	if err := first.Finish(tracking.Interrupted); err != nil {
		t.Fatal(err)
	}
	if s.status != "KILLED" {
		t.Errorf("an interrupted run is %s, want KILLED", s.status)
	}
	again := open(t, run, tracking.MLflow)
	again.Replay(step(1, 0.5))
	for n := 2; n <= 900; n++ { // 1800 values, two batches
		again.Record(step(n, 1))
	}
	if err := again.Finish(tracking.Finished); err != nil {
		t.Fatal(err)
	}
	if s.runs != 1 || s.status != "FINISHED" || len(s.metrics) != 2*900 {
		t.Errorf("%d runs, status %s, %d values; want 1, FINISHED, 1800", s.runs, s.status,
			len(s.metrics))
	}
	if s.params["train.lr"] != "1e-05" {
		t.Errorf("parameters %v", s.params)
	}
}

// TestMLflowAway has the server away during the run and at its end: the run is told, nothing is
// said to be sent, and a later start sends the rest.
func TestMLflowAway(t *testing.T) {
	s := newMLflowServer(t)
	run := testRun(t)
	run.URI = s.URL
	tracker := open(t, run, tracking.MLflow)
	s.setDown(true)
	tracker.Record(step(1, 0.5))
	err := tracker.Finish(tracking.Finished)
	if err == nil || !strings.Contains(err.Error(), "2 values are not sent") ||
		!strings.Contains(err.Error(), "502") {
		t.Errorf("error %v: want the number of values and the server's answer", err)
	}
	s.setDown(false)
	again := open(t, run, tracking.MLflow)
	again.Replay(step(1, 0.5))
	if err := again.Finish(tracking.Finished); err != nil || len(s.metrics) != 2 || s.runs != 1 {
		t.Errorf("%v; %d values of %d runs, want 2 of 1", err, len(s.metrics), s.runs)
	}
}

// TestOpenRefuses wants an error for what cannot work, before there is anything in the folder.
func TestOpenRefuses(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "<html>hello</html>")
	}))
	defer page.Close()
	for uri, want := range map[string]string{
		"":                       "MLFLOW_TRACKING_URI",
		"mlruns":                 "http://HOST:PORT",
		"file:///tmp/mlruns":     "mlflow server",
		"http://me:secret@host":  "MLFLOW_TRACKING_PASSWORD",
		"ftp://me:secret@host":   "MLFLOW_TRACKING_PASSWORD",
		"http://a:secret@b:c/%z": "MLFLOW_TRACKING_PASSWORD",
		"http://host/?t=secret":  "MLFLOW_TRACKING_TOKEN",
		page.URL:                 "something else than MLflow's JSON",
		"http://127.0.0.1:1/api": "refused",
	} {
		run := testRun(t)
		run.URI = uri
		_, err := tracking.Open(t.Context(), run, []string{tracking.MLflow}, noWarning(t))
		if err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: error %v, want %q", uri, err, want)
		}
		if err := tracking.ReachMLflow(t.Context(), uri, t.Logf); err == nil {
			t.Errorf("%q is reached", uri)
		}
		if entries, err := os.ReadDir(run.Dir); err != nil || len(entries) > 0 {
			t.Errorf("%q leaves %v, %v", uri, entries, err)
		}
	}
	if _, err := tracking.Open(t.Context(), testRun(t), []string{"comet"}, noWarning(t)); err == nil ||
		!strings.Contains(err.Error(), "tensorboard, mlflow, wandb") {
		t.Errorf("error %v: want the names of trackers", err)
	}
}
