package remote

import (
	"context"
	"fmt"

	"haf/pref"
)

// A Generator is a server's model as a [pref.Generator]. The server's own chat template makes text
// of a prompt. LogP is not known, and whether a seed gives the same response again is up to the
// server.
type Generator struct{ *Client }

// Generate asks for one response to each request.
func (g Generator) Generate(
	ctx context.Context, requests []pref.Request, done func(i int, out pref.Generated) error,
) error {
	for i, q := range requests {
		if err := q.Check(); err != nil {
			return fmt.Errorf("remote: request %d: %w", i+1, err)
		}
	}
	return each(ctx, g.Client, len(requests),
		func(ctx context.Context, i int) (pref.Generated, error) {
			return g.chat(ctx, requests[i].Prompt, requests[i].Sampling)
		}, done)
}
