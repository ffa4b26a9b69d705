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

// A scheme is a kind of reward source. The first scheme one of whose prefixes a name begins with is
// the name's scheme; a scheme without prefixes takes every other name.
type scheme struct {
	prefixes []string
	form     string // of a name
	strip    string // the beginning of a name that is no part of its address
	renders  bool   // conversations are rendered here, so that settings of the template count
	judges   bool   // it needs the prompt of a judge
	// check looks at an address without opening anything; nil accepts every address.
	check func(address string) error
	open  func(ctx context.Context, s Source, opt Options) (pref.Rewarder, error)
	// reach looks whether the source is there; nil opens and closes it.
	reach func(ctx context.Context, s Source, opt Options) error
}

// schemes is the table of all reward sources. To add one, write its check and its open, and a row
// here, before the last.
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

// overHTTP lists the prefixes of names that are addresses of servers of a kind.
func overHTTP(kind string) []string { return []string{kind + "http://", kind + "https://"} }

// A Source is a name that a scheme accepts.
type Source struct {
	Name    string // as it was given
	Address string // the name without its scheme's prefix
	scheme  *scheme
}

// Uses says which settings a source has a use for, beside those of time and number of requests.
type Uses struct {
	Model     bool // those of a model that is opened here, the template's among them
	Rewards   bool // the name of a reward, because it has several
	Tokenizer bool // a tokenizer, which it needs, and settings of a template
	Judge     bool // the prompt of a judge, which it needs
}

// Uses returns the settings that the source has a use for.
func (s Source) Uses() Uses {
	model := len(s.scheme.prefixes) == 0
	return Uses{Model: model, Rewards: model || s.scheme.strip == "", Tokenizer: s.scheme.renders,
		Judge: s.scheme.judges}
}

// prefixed matches a name that begins as one with a scheme does; a path never does, because ids on
// the hub have no colon, and other paths can begin with "./".
var prefixed = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+-]*:`)

// Parse returns the source that a name names. Nothing is opened or looked up.
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
			return s, fmt.Errorf("%w: the name is empty, wanted %s", ErrName, Forms())
		}
		if scheme.check != nil {
			if err := scheme.check(s.Address); err != nil {
				return s, fmt.Errorf("%w %q: %w", ErrName, Shown(name), err)
			}
		}
		return s, nil
	}
	return Source{}, fmt.Errorf("%w: %q begins with %q, wanted %s; write a path with a colon as ./%s",
		ErrName, Shown(name), prefixed.FindString(name), Forms(), Shown(name))
}

var (
	// user matches the user and the password in the address of a server, and query its query.
	user  = regexp.MustCompile(`://[^/@]*@`)
	query = regexp.MustCompile(`(://[^?#]*\?)[^#]*`)
)

// Shown returns a name as messages show it: without user, password and query, which may be secret.
func Shown(name string) string {
	return query.ReplaceAllString(user.ReplaceAllString(name, "://…@"), "$1…")
}

// takes reports whether the scheme takes a name, and by which prefix.
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

// IsModel reports whether a name names a model that is opened here: a path or an id on the hub.
func IsModel(name string) bool {
	s, err := Parse(name)
	return err == nil && len(s.scheme.prefixes) == 0
}
