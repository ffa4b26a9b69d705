package train

import (
	. "github.com/gomlx/gomlx/core/graph"

	"haf/backend"
	"haf/mesh"
	"haf/objective"
	"haf/reward"
)

// A gradientProgram is the gradient program of steppers whose model and objective have one
// structure.
type gradientProgram struct {
	exec *mesh.Exec
	user *Stepper // the last: the program is built by its structure
}

// Finalize frees the program.
func (p *gradientProgram) Finalize() { p.exec.Finalize() }

// findGradient finds the stepper's gradient program on the device, or makes it.
func (s *Stepper) findGradient(model *reward.Model, obj objective.Hybrid) {
	device := model.Device()
	s.gradient, s.kept = backend.Keep(device,
		"gradient "+model.Structure()+obj.Structure(), func() *gradientProgram {
			p := &gradientProgram{}
			p.exec = mesh.NewExec(device, "gradient", func(in []*Node) []*Node {
				return p.user.buildGradient(in)
			})
			return p
		})
	s.gradient.user = s
}

// closeGradient waits for the program of compileAhead and frees the gradient program, unless the
// device keeps it.
func (s *Stepper) closeGradient() {
	if s.compiled != nil {
		<-s.compiled
	}
	if !s.kept {
		s.gradient.Finalize()
	}
}
