package ui

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"strings"
)

// policy is the Content-Security-Policy: everything from this server, no inline script or style.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// maxForm limits the body of a request, in bytes.
const maxForm = 4 << 20

// cookieName is the cookie of a visitor who has entered a token.
const cookieName = "haf-ui"

// keyring holds the hashes of tokens, so that all comparisons have equal length.
type keyring [][sha256.Size]byte

func newKeyring(tokens []string) (k keyring) {
	for _, t := range tokens {
		k = append(k, sha256.Sum256([]byte(t)))
	}
	return k
}

// opens reports whether the value is one of the tokens. It compares every token.
func (k keyring) opens(value string) bool {
	hash, found := sha256.Sum256([]byte(value)), 0
	for i := range k {
		found |= subtle.ConstantTimeCompare(hash[:], k[i][:])
	}
	return found == 1
}

// secure guards the pages: by headers, by the request's host and origin, and by the token, if there
// are tokens.
func (a *App) secure(next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := origins.Check(r); err != nil || foreign(r) {
			a.fail(w, r, http.StatusForbidden, errors.New("the request comes from another site"))
			return
		}
		if len(a.keys) == 0 {
			// Without a token, a web page could have its visitor's browser ask, under a host name of its own
			// that resolves to this machine.
			if !loopbackHost(r.Host) {
				a.fail(w, r, http.StatusForbidden, errors.New("without tokens this server answers to "+
					"localhost alone, but the request names another host: open http://127.0.0.1, or set "+
					"a token"))
				return
			}
		} else if !a.known(r) && r.URL.Path != "/login" && !strings.HasPrefix(r.URL.Path, "/assets/") {
			if r.Method == http.MethodGet && r.URL.Path != "/api/series" {
				http.Redirect(w, r, "/login", http.StatusSeeOther)
			} else {
				a.fail(w, r, http.StatusUnauthorized, errors.New("a token is required: open /login"))
			}
			return
		}
		next.ServeHTTP(w, r)
	})
}

// foreign reports whether a page of another site has its visitor's browser fetch something. Even if
// that page cannot see the answer, the request reads files and opens models. Following a link from
// there is allowed.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "": // an old browser, or no browser
		origin := r.Header.Get("Origin")
		return origin != "" && origin != "http://"+r.Host && origin != "https://"+r.Host
	}
	return r.Header.Get("Sec-Fetch-Mode") != "navigate" ||
		r.Header.Get("Sec-Fetch-Dest") != "document" || r.URL.Query().Has("tokens") ||
		strings.HasPrefix(r.URL.Path, "/api/")
}

// loopbackHost reports whether a Host header names this machine.
func loopbackHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}

// known reports whether the visitor has sent a token, in the header or in the cookie.
func (a *App) known(r *http.Request) bool {
	if scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme,
		"bearer") && a.keys.opens(strings.TrimSpace(value)) {
		return true
	}
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return false
	}
	// A cookie cannot hold every character that a token may have.
	token, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	return err == nil && a.keys.opens(string(token))
}

// login asks for a token and keeps it in a cookie that scripts cannot read.
func (a *App) login(w http.ResponseWriter, r *http.Request) {
	page := struct{ Wrong bool }{}
	if r.Method == http.MethodPost {
		token := strings.TrimSpace(r.PostFormValue("token"))
		if a.keys.opens(token) {
			http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", HttpOnly: true,
				Value:    base64.RawURLEncoding.EncodeToString([]byte(token)),
				SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil})
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
		page.Wrong = true
		w.WriteHeader(http.StatusUnauthorized)
	}
	a.render(w, r, "login", "Log in", page)
}
