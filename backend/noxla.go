//go:build !(cgo && ((linux && (amd64 || arm64)) || (darwin && arm64)))

package backend

import "errors"

const (
	xlaSupported = false
	xlaMissing   = "this haf was built without XLA: build it with CGO_ENABLED=1 and a C compiler, " +
		"on linux or on macOS (arm64)"
)

func openPlugin(Plugin) (*Device, error) { return nil, errors.New("backend: " + xlaMissing) }

func openDevices(p Plugin, _ int) (*Device, error) { return openPlugin(p) }

func installByGoXLA(string) ([]Plugin, error) { return nil, errors.New(xlaMissing) }
