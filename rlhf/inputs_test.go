package rlhf

import (
	"slices"
	"testing"

	"haf/reward"
)

// TestInputs packs and unpacks. The literals name no fields, so that one that is added has to be
// added here, and is lost on the way if it is not listed.
func TestInputs(t *testing.T) {
	tokens := tokenInputs[int]{1, 2, 3, 4, 5, 6}
	packed := tokens.pack()
	if !slices.Equal(packed, []int{1, 2, 3, 4, 5, 6}) {
		t.Errorf("packed as %v", packed)
	}
	if got, rest := unpackTokenInputs(append(packed, 7)); got != tokens ||
		!slices.Equal(rest, []int{7}) {
		t.Errorf("unpacked as %+v and %v", got, rest)
	}
	policy := policyInputs[int]{tokens, 7}
	got, rest := unpackPolicyInputs(append(policy.pack(), 8))
	if got != policy || !slices.Equal(rest, []int{8}) {
		t.Errorf("unpacked as %+v and %v", got, rest)
	}
	losses := Losses[float32]{1, 2, 3, 4, 5, 6}
	var read Losses[float32]
	reward.UnpackInputs(read.fields(), reward.PackInputs(losses.fields()))
	if read != losses {
		t.Errorf("losses %+v are read as %+v", losses, read)
	}
}
