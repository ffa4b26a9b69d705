package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"haf/pref"
)

// A problem is the failure of a request in the form of OpenAI's errors, which the dialects share:
// {"error": {"message", "type", "param", "code"}}.
type problem struct {
	status     int
	message    string // fault, expectation, next step; never the prompt's text
	param      string // the field at fault, or ""
	retryAfter time.Duration
}

func (p *problem) Error() string { return p.message }

// refuse returns a problem with the given status.
func refuse(status int, format string, args ...any) *problem {
	return &problem{status: status, message: fmt.Sprintf(format, args...)}
}

// wrong returns the problem of a mistake in a field of a request.
func wrong(param, format string, args ...any) *problem {
	p := refuse(http.StatusBadRequest, format, args...)
	p.param = param
	return p
}

// later returns a temporary refusal.
func later(status int, after time.Duration, format string, args ...any) *problem {
	p := refuse(status, format, args...)
	p.retryAfter = max(after, time.Second)
	return p
}

// memoryPause is the time after which a client may retry a request that lacked memory.
const memoryPause = 5 * time.Second

// problemOf returns the problem for an error. For an error that is not the client's fault it
// reveals nothing else.
func problemOf(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	if errors.Is(err, pref.ErrMemory) {
		return later(http.StatusServiceUnavailable, memoryPause, "the server has too little memory for "+
			"these texts: send shorter or fewer ones at once, or try again later")
	}
	return refuse(http.StatusInternalServerError,
		"the server failed to read the model: its log says why")
}

// kinds are the names of OpenAI's error types by status.
var kinds = map[int]string{
	http.StatusUnauthorized:        "authentication_error",
	http.StatusForbidden:           "permission_error",
	http.StatusNotFound:            "not_found_error",
	http.StatusTooManyRequests:     "rate_limit_error",
	http.StatusServiceUnavailable:  "service_unavailable_error",
	http.StatusGatewayTimeout:      "timeout_error",
	http.StatusInternalServerError: "internal_error",
}

type errorBody struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    int     `json:"code"`
}

// write answers with the problem.
func (p *problem) write(w http.ResponseWriter) {
	body := errorBody{errorDetail{Message: p.message, Type: kinds[p.status], Code: p.status}}
	if body.Error.Type == "" {
		body.Error.Type = "invalid_request_error"
	}
	if p.param != "" {
		body.Error.Param = &p.param
	}
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	if p.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	writeJSON(w, p.status, body)
}

// writeJSON answers with a value that always has a JSON form.
func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil { // batcher.go excludes the cause, rewards that are not finite
		status, data = http.StatusInternalServerError,
			[]byte(`{"error":{"message":"the reply has no JSON form","type":"internal_error","param":null,"code":500}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(data, '\n')) // fails if the client is gone, which needs no handling
}
