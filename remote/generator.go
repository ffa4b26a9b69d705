package remote

import (
	"context"
	"fmt"

	"haf/pref"
)

// A Generator is a server's model as a [pref.Generator]. The server's chat template renders the
// prompt. LogP is unknown, and the server decides whether a seed reproduces a response.
type Generator struct{ *Client }

// Generate requests one response for each request.
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
