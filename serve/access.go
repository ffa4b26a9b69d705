package serve

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"haf/internal/wholefile"
)

// A Token authorizes its bearer. Logs show its name, never its value.
type Token struct{ Name, Value string }

// leastToken is the minimum length of a token in bytes, because shorter ones can be guessed.
const leastToken = 16

// ParseTokens reads tokens, one a line: VALUE, or NAME VALUE. It skips blank lines and lines that
// begin with #. Clients with different tokens take turns; clients that share a token count as one.
func ParseTokens(text string) ([]Token, error) {
	var tokens []Token
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		t := Token{Name: fmt.Sprintf("token-%d", len(tokens)+1), Value: fields[len(fields)-1]}
		if len(fields) == 2 {
			t.Name = fields[0]
		}
		if len(fields) > 2 || len(t.Value) < leastToken {
			return nil, fmt.Errorf("serve: tokens: line %d: want VALUE or NAME VALUE, the value of %d "+
				"bytes or more", n, leastToken)
		}
		tokens = append(tokens, t)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("serve: tokens: %w", err)
	}
	if len(tokens) == 0 {
		return nil,
			fmt.Errorf("serve: tokens: there is none: write one a line, such as that of openssl " +
				"rand -hex 32")
	}
	return tokens, nil
}

// ReadTokens is [ParseTokens] for a file, which only its owner and group may read.
func ReadTokens(path string) ([]Token, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("serve: tokens: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("serve: tokens: everybody may read or change %s (mode %v): chmod 600 it",
			path, info.Mode().Perm())
	}
	data, err := wholefile.Read(path, wholefile.Settings)
	if err != nil {
		return nil, fmt.Errorf("serve: tokens: %w", err)
	}
	tokens, err := ParseTokens(string(bytes.ToValidUTF8(data, nil)))
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", err, path)
	}
	return tokens, nil
}

// LoadTokens reads the tokens of a file or, if path is "", of HAF_TOKENS, in the same form. Without
// either it returns none.
func LoadTokens(path string) ([]Token, error) {
	if path != "" {
		return ReadTokens(path)
	}
	if text := os.Getenv("HAF_TOKENS"); text != "" {
		return ParseTokens(text)
	}
	return nil, nil
}

// keyring holds the hashes of tokens, so that all comparisons have equal length.
type keyring []struct {
	name string
	hash [sha256.Size]byte
}

func newKeyring(tokens []Token) keyring {
	var k keyring
	for _, t := range tokens {
		k = append(k, struct {
			name string
			hash [sha256.Size]byte
		}{t.Name, sha256.Sum256([]byte(t.Value))})
	}
	return k
}

// bearer returns the name of a request's token. It compares every token, so the time does not
// depend on the request.
func (k keyring) bearer(r *http.Request) (name string, ok bool) {
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	hash := sha256.Sum256([]byte(strings.TrimSpace(value)))
	found := -1
	for i := range k {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash[:], k[i].hash[:]), i, found)
	}
	if found < 0 || !strings.EqualFold(scheme, "bearer") {
		return "", false
	}
	return k[found].name, true
}

// ErrExposed is wrapped by the error for an address that other machines reach without a token.
var ErrExposed = errors.New("it is reached from other machines, and no token is asked for")

// CheckAddress returns an error for an address that other machines reach, unless there are tokens
// or open allows it. The error wraps [ErrExposed].
func CheckAddress(addr string, tokens, open bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("serve: address %q: %w: want HOST:PORT, such as 127.0.0.1:8080", addr, err)
	}
	if loopback(host) || tokens || open {
		return nil
	}
	return fmt.Errorf("address %s: %w: set one with -token-file FILE or HAF_TOKENS", addr, ErrExposed)
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// client identifies the sender of a request: by the bearer's name, or by the address. Clients take
// turns by this name.
func (s *Server) client(r *http.Request) (string, *problem) {
	if len(s.keys) > 0 {
		name, ok := s.keys.bearer(r)
		if !ok {
			return "", refuse(http.StatusUnauthorized, "a bearer token is required: send the header "+
				"Authorization: Bearer TOKEN")
		}
		return "token " + name, nil
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	// Without a token, a web page could have its visitor's browser ask, under a host name of its own
	// that resolves to this machine.
	if name, _, err := net.SplitHostPort(r.Host); loopback(host) && !s.config.AllowUnauthenticated &&
		!loopback(r.Host) && (err != nil || !loopback(name)) {
		return "", refuse(http.StatusForbidden, "a server without tokens answers localhost only, "+
			"but the request names another host: ask http://127.0.0.1, or set a token")
	}
	return host, nil
}
