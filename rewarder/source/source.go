package source

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"haf/pref"
)

// ErrName is wrapped by the error of a name that no scheme accepts.
var ErrName = errors.New("wrong reward source")

// A scheme is a kind of reward source. A name belongs to the first scheme with a prefix that it
// begins with; a scheme without prefixes takes all other names.
type scheme struct {
	prefixes []string
	form     string // form of a name, for messages
	strip    string // prefix of a name that is not part of its address
	renders  bool   // haf renders conversations, so template settings apply
	judges   bool   // needs a judge's prompt
	// check validates an address without opening anything; nil accepts every address.
	check func(address string) error
	open  func(ctx context.Context, s Source, opt Options) (pref.Rewarder, error)
	// reach checks that the source is available; nil opens and closes it.
	reach func(ctx context.Context, s Source, opt Options) error
}

// schemes is the table of all reward sources. To add one, write its check and open functions and
// add a row before the last.
var schemes = []scheme{
	{
		prefixes: overHTTP(""),
		form:     "http://HOST:PORT[#MODEL] (haf serve)",
		check:    checkServer, open: openServer,
	},
	{
		prefixes: overHTTP(vllm.scheme), strip: vllm.scheme,
		form:  "vllm+http://HOST:PORT[/pooling][#MODEL]",
		check: vllm.check, open: vllm.open,
	},
	{
		prefixes: overHTTP(sglang.scheme), strip: sglang.scheme, renders: true,
		form:  "sglang+http://HOST:PORT",
		check: sglang.check, open: sglang.open,
	},
	{
		prefixes: overHTTP(openRLHF.scheme), strip: openRLHF.scheme, renders: true,
		form:  "openrlhf+http://HOST:PORT",
		check: openRLHF.check, open: openRLHF.open,
	},
	{
		prefixes: overHTTP("judge+"), strip: "judge+", judges: true,
		form:  "judge+http://HOST:PORT/v1#MODEL",
		check: checkJudge, open: openJudge,
	},
	{
		prefixes: []string{"scores:"}, strip: "scores:",
		form:  "scores:FILE (precomputed)",
		check: checkScores, open: openScores, reach: reachScores,
	},
	{
		prefixes: []string{"exec:"}, strip: "exec:",
		form:  "exec:COMMAND",
		check: checkCommand, open: openCommand, reach: reachCommand,
	},
	{
		form: "a run or model folder, a GGUF file, or ORG/NAME on the hub",
		open: openModel, reach: reachModel,
	},
}

// overHTTP returns the prefixes of names that are server addresses of a kind.
func overHTTP(kind string) []string { return []string{kind + "http://", kind + "https://"} }

// A Source is a parsed name.
type Source struct {
	Name    string // as given
	Address string // the name without its scheme's prefix
	scheme  *scheme
}

// Uses says which settings apply to a source, besides time-out and concurrency.
type Uses struct {
	Model     bool // settings of a local model, including its template
	Rewards   bool // the name of a reward
	Tokenizer bool // a tokenizer, which is required, and template settings
	Judge     bool // a judge's prompt, which is required
}

// Uses returns the settings that apply to the source.
func (s Source) Uses() Uses {
	model := len(s.scheme.prefixes) == 0
	return Uses{Model: model, Rewards: model || s.scheme.strip == "", Tokenizer: s.scheme.renders,
		Judge: s.scheme.judges}
}

// prefixed matches names that begin like one with a scheme. No path needs to: ids on the hub have
// no colon, and other paths can begin with "./".
var prefixed = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+-]*:`)

// Parse returns the source with that name. It opens nothing.
func Parse(name string) (Source, error) {
	for i := range schemes {
		scheme := &schemes[i]
		prefix, ok := scheme.takes(name)
		if !ok {
			continue
		}
		if prefix == "" && prefixed.MatchString(name) {
			break
		}
		s := Source{Name: name, Address: name[len(scheme.strip):], scheme: scheme}
		if name == "" {
			return s, fmt.Errorf("%w: the name is empty, want %s", ErrName, Forms())
		}
		if scheme.check != nil {
			if err := scheme.check(s.Address); err != nil {
				return s, fmt.Errorf("%w %q: %w", ErrName, Shown(name), err)
			}
		}
		return s, nil
	}
	return Source{}, fmt.Errorf("%w: %q begins with %q, want %s; write a path with a colon as ./%s",
		ErrName, Shown(name), prefixed.FindString(name), Forms(), Shown(name))
}

var (
	// user matches user and password in a server's address, query its query.
	user  = regexp.MustCompile(`://[^/@]*@`)
	query = regexp.MustCompile(`(://[^?#]*\?)[^#]*`)
)

// Shown returns a name for messages, without user, password and query, which may be secret.
func Shown(name string) string {
	return query.ReplaceAllString(user.ReplaceAllString(name, "://…@"), "$1…")
}

// takes reports whether the scheme accepts a name, and with which prefix.
func (s *scheme) takes(name string) (prefix string, ok bool) {
	for _, prefix := range s.prefixes {
		if strings.HasPrefix(name, prefix) {
			return prefix, true
		}
	}
	return "", len(s.prefixes) == 0
}

// Forms lists the forms of names, for messages.
func Forms() string {
	var forms []string
	for _, s := range schemes {
		forms = append(forms, s.form)
	}
	last := len(forms) - 1
	return strings.Join(forms[:last], ", ") + ", or " + forms[last]
}

// IsModel reports whether a name means a local model: a path or an id on the hub.
func IsModel(name string) bool {
	s, err := Parse(name)
	return err == nil && len(s.scheme.prefixes) == 0
}
