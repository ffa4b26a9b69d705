package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"testing"

	"haf/pref"
)

// fuzzDecoder checks that a body makes a call that can be answered, or a problem that names the
// client's mistake, and never a panic.
func fuzzDecoder(f *testing.F, decode decoder, seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed), "")
	}
	f.Add([]byte(
		`{"model":"m","input":[[1,2],"a"],"messages":[{"role":"assistant","content":[{"type":"text","text":"x"}]}]}`), "model=m&activation=sigmoid")
	f.Add([]byte(`{"input":null,"query":null,"documents":[null],"prompt":null,"messages":[null]}`),
		"reward=implicit")
	f.Add([]byte(`{"a":`), "x=1&x=2")
	engine := &fake{}
	f.Fuzz(func(t *testing.T, body []byte, address string) {
		query, err := url.ParseQuery(address)
		if err != nil {
			return
		}
		c, err := decode(body, query)
		var p *problem
		if err != nil {
			if !errors.As(err, &p) || p.status < 400 || p.status > 499 || p.message == "" {
				t.Fatalf("%q: %v is no problem of the client's", body, err)
			}
			return
		}
		if len(c.inputs) == 0 || c.reply == nil {
			t.Fatalf("%q: a call of %d inputs", body, len(c.inputs))
		}
		a := &answer{model: "m", reward: "score", temperature: 1,
			values: make([]pref.Values, len(c.inputs)), lengths: make([]length, len(c.inputs))}
		for i, in := range c.inputs {
			if in.Verbatim() == (len(in.Prompt) > 0) || len(in.Tokens) > 0 && in.Text != "" {
				t.Fatalf("%q: input %d is of no form or of two: %+v", body, i, in)
			}
			r := hashed(fmt.Sprintf("%+v", in))
			a.values[i].Rewards = map[string]float64{"score": r, "implicit": -r}
			if _, err := engine.Encode(in, []string{"score"}, false); err != nil {
				continue // too long
			}
		}
		reply := c.reply(c, a)
		if err, ok := reply.(error); ok {
			t.Fatalf("%q: the reply is the error %v", body, err)
		}
		data, err := json.Marshal(reply)
		if err != nil || len(data) == 0 {
			t.Fatalf("%q: the reply has no JSON form: %v", body, err)
		}
		for _, r := range c.scores(a) {
			if math.IsNaN(r) || c.sigmoid && (r < 0 || r > 1) {
				t.Fatalf("%q: reward %v", body, r)
			}
		}
	})
}

func FuzzNative(f *testing.F) {
	fuzzDecoder(f, decodeNative, `{"prompt":"p","response":"r"}`,
		`{"prompt":[{"role":"user","content":"p"}],"responses":["r","s"],"baseline":"b","temperature":2}`,
		`{"samples":[{"messages":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}],"baseline":1e308}],"rewards":["score"],"tokens":true}`)
}

func FuzzOpenRLHF(f *testing.F) {
	fuzzDecoder(f, decodeOpenRLHF, `{"query":["a"],"prompts":["a"],"labels":[{}]}`, `{"query":"a"}`)
}

func FuzzClassify(f *testing.F) {
	fuzzDecoder(f, decodeClassify, `{"input":"a","use_activation":true}`,
		`{"input":[1,2],"add_special_tokens":false}`, `{"text":["a"]}`, `{"input_ids":[[1]]}`,
		`{"messages":[[{"role":"user","content":"p"},{"role":"assistant","content":"r"}]]}`)
}

func FuzzPooling(f *testing.F) {
	fuzzDecoder(f, decodePooling, `{"input":"a","task":"classify","encoding_format":"base64"}`)
}

func FuzzScore(f *testing.F) {
	fuzzDecoder(f, decodeScore, `{"queries":"p","documents":["r",{"text":"s"}]}`,
		`{"text_1":["p"],"text_2":["r"]}`)
}

func FuzzRerank(f *testing.F) {
	fuzzDecoder(f, decodeRerank, `{"query":"p","documents":["r",{"text":"s"}],"top_n":1}`)
}

func FuzzEmbeddings(f *testing.F) {
	fuzzDecoder(f, decodeEmbeddings, `{"input":["a"],"encoding_format":"base64","dimensions":1}`)
}

func FuzzLLaMAFactory(f *testing.F) {
	fuzzDecoder(f, decodeLLaMAFactory, `{"model":"model","messages":["a"],"max_length":7}`)
}

func FuzzSlime(f *testing.F) {
	fuzzDecoder(f, decodeSlime, `{"prompt":"p","response":"r","label":1}`,
		`{"prompt":[{"role":"user","content":"p"}],"response":"r"}`)
}
