package objective_test

import (
	"fmt"
	"math"

	"haf/objective"
)

// logistic is the link of the papers.
var logistic = objective.Link{Name: objective.LogisticLink, Scale: 1}

func ExampleLink_LossValue() {
	// A comparison that contradicts the rewards by 5, perhaps a mislabelled one, under every name.
	for _, name := range []string{objective.GaussianLink, objective.LaplaceLink,
		objective.LogisticLink, objective.StudentLink, objective.CauchyLink} {
		fmt.Printf("%s %.3f\n", name, objective.Link{Name: name, Scale: 1, DF: 3}.LossValue(-5))
	}
	// Output:
	// gaussian 15.065
	// laplace 5.693
	// logistic 5.007
	// student-t 4.867
	// cauchy 2.767
}

func ExampleBradleyTerryValue() {
	for _, margin := range []float64{0, 2, -2} {
		fmt.Printf("%.4f\n", objective.BradleyTerryValue(margin, logistic))
	}
	// Output:
	// 0.6931
	// 0.1269
	// 2.1269
}

func ExampleUncertainValue() {
	// The chosen response is ahead by 1. With variances of 1/2 each that is one standard deviation;
	// with 2 each it is half of one; where the rejected response alone is uncertain, in between.
	gaussian := objective.Link{Name: objective.GaussianLink, Scale: 1}
	for _, u := range [][2]float64{{0, 0}, {math.Log(4), math.Log(4)}, {0, math.Log(4)}} {
		fmt.Printf("P = %.4f\n", math.Exp(-objective.UncertainValue(1, u[0], u[1], gaussian)))
	}
	// Output:
	// P = 0.8413
	// P = 0.6915
	// P = 0.7365
}

func ExampleMarginValue() {
	// The chosen response is ahead by 2, where the data says 1 or 3.
	fmt.Printf("%.4f %.4f\n", objective.MarginValue(2, 1, logistic),
		objective.MarginValue(2, 3, logistic))
	// Output: 0.3133 1.3133
}

func ExampleScaledValue() {
	fmt.Printf("%.4f\n", objective.ScaledValue(2, 3, logistic)) // 3 · 0.1269
	// Output: 0.3808
}

func ExampleSmoothedValue() {
	// The margin that a label of 90 % asks for is log 9 ≈ 2.2, and no more.
	for _, margin := range []float64{0, 2.2, 5} {
		fmt.Printf("%.4f\n", objective.SmoothedValue(margin, 0.1, logistic))
	}
	// Output:
	// 0.6931
	// 0.3251
	// 0.5067
}

func ExampleRobustValue() {
	// Over labels of which one in ten is flipped, the mean of the robust loss is the loss of the
	// true label.
	mean := 0.9*objective.RobustValue(2, 0.1, logistic) + 0.1*objective.RobustValue(-2, 0.1, logistic)
	fmt.Printf("%.4f %.4f\n", mean, objective.BradleyTerryValue(2, logistic))
	// Output: 0.1269 0.1269
}

func ExampleHingeValue() {
	fmt.Println(objective.HingeValue(0.25, 1), objective.HingeValue(2, 1))
	// Output: 0.75 0
}

func ExampleNormalizedValue() {
	// Rewards ten times as large gain nothing.
	fmt.Printf("%.3f %.3f\n", objective.NormalizedValue(2, -1, logistic),
		objective.NormalizedValue(20, -10, logistic))
	// Output: 0.233 0.232
}

func ExampleEurusValue() {
	// The same margin, with rewards on both sides of zero and on one.
	fmt.Printf("%.4f %.4f\n", objective.EurusValue(1, -1, logistic),
		objective.EurusValue(3, 1, logistic))
	// Output: 0.7535 1.4888
}

func ExamplePlackettLuceValue() {
	// Three responses in the order 0, 1, 2: the choice of the first out of three, then of the second
	// out of two.
	fmt.Printf("%.4f\n", objective.PlackettLuceValue([]float64{2, 1, 0},
		[][2]int{{0, 1}, {0, 2}, {1, 2}}))
	// Output: 0.7209
}

func ExampleRaoKupperValue() {
	// Between equals a tie has the probability 1/3: −log ⅓ each.
	fmt.Printf("%.4f %.4f\n", objective.RaoKupperValue(0, false, 1.0/3),
		objective.RaoKupperValue(0, true, 1.0/3))
	// Output: 1.0986 1.0986
}

func ExampleDavidsonValue() {
	fmt.Printf("%.4f %.4f\n", objective.DavidsonValue(2, false, 1.0/3),
		objective.DavidsonValue(2, true, 1.0/3))
	// Output: 0.4076 1.4076
}

func ExampleCentringValue() {
	fmt.Printf("%.2f %.2f\n", 0.01*objective.CentringValue(1, -1), 0.01*objective.CentringValue(3, 1))
	// Output: 0.00 0.16
}

func ExampleRewardNormValue() {
	fmt.Println(objective.RewardNormValue(3, 1))
	// Output: 5
}

func ExampleBatchSumValue() {
	fmt.Println(objective.BatchSumValue([]float64{3, 1}, []float64{1, -1})) // of the mean reward, 1
	// Output: 1
}

func ExampleDirectPreferenceValue() {
	// The policy has made the chosen response 5 nats likelier beside the rejected one than the
	// reference does.
	fmt.Printf("%.4f\n", objective.DirectPreferenceValue(5, 0.1, logistic))
	// Output: 0.4741
}

func ExampleIdentityPreferenceValue() {
	// The target of the margin is 1/(2β) = 5.
	fmt.Println(objective.IdentityPreferenceValue(5, 0.1), objective.IdentityPreferenceValue(7, 0.1))
	// Output: 0 4
}

func ExampleIdentityPreferenceSqrtValue() {
	fmt.Println(objective.IdentityPreferenceSqrtValue(7, 0.1))
	// Output: 0.4
}

func ExampleIdentityPreferenceFullValue() {
	fmt.Printf("%.2f\n", objective.IdentityPreferenceFullValue(7, 0.1))
	// Output: 0.04
}

func ExampleSimplePreferenceValue() {
	// 20 tokens of −1 nat each against 50 of −1.5, a target margin of 0.5.
	fmt.Printf("%.4f\n", objective.SimplePreferenceValue(-20.0/20+75.0/50, 2, 0.5, logistic))
	// Output: 0.4741
}

func ExampleSupervisedValue() {
	fmt.Println(objective.SupervisedValue(-30, 20))
	// Output: 1.5
}

func ExampleSupervisedSumValue() {
	fmt.Println(objective.SupervisedSumValue(-30))
	// Output: 30
}

func ExamplePairKTOValue() {
	fmt.Printf("%.4f\n", objective.PairKTOValue([]float64{4, 2}, []float64{-3, -1}, 0.1))
	// Output: 0.4018
}

func ExampleRewardAwareValue() {
	// The implicit margin is 1, the explicit one 2; an infinite one is DPO.
	for _, distance := range []string{"sq", "bwd-kl", "fwd-kl"} {
		fmt.Printf("%s %.4f\n", distance, objective.RewardAwareValue(1, 2, distance))
	}
	fmt.Printf("%.4f %.4f\n", objective.RewardAwareValue(1, 1e9, "bwd-kl"),
		objective.BradleyTerryValue(1, logistic))
	// Output:
	// sq 0.5000
	// bwd-kl 0.0671
	// fwd-kl 0.0826
	// 0.3133 0.3133
}

func ExampleRewardAwareGroupValue() {
	fmt.Printf("%.4f\n", objective.RewardAwareGroupValue([]float64{1, 0, 0}, []float64{2, 1, 0},
		"bwd-kl"))
	// Output: 0.0538
}

func ExampleHybrid_Value() {
	h := objective.Default()
	total, reward, policy := h.Value([]objective.Group{{
		Scores: []float64{1.5, 0.5}, Logps: []float64{-20, -31}, RefLogps: []float64{-22, -30},
		Comparisons: []objective.Comparison{{Chosen: 0, Rejected: 1}},
	}})
	fmt.Printf("%.4f = 1 · %.4f + 0.2 · %.4f\n", total, reward, policy)
	// Output: 0.4241 = 1 · 0.3133 + 0.2 · 0.5544
}

func ExampleHybrid_Check() {
	h := objective.Default()
	h.Reward, h.Policy, h.Link = "bradley-terry + 0.5 hinge", "rpo-bwd-kl + 0.1 sft",
		objective.StudentLink
	fmt.Println(h.Check(), h.UsesReference(), h.UsesMargins())
	// Output: <nil> true true
}

func ExampleSchedule_Weights() {
	s := objective.Schedule{Kind: objective.Ramp, Share: 0.5}
	for _, step := range []int{0, 25, 50, 99} {
		fmt.Println(s.Weights(1, 0.2, step, 100))
	}
	// Output:
	// 1 0
	// 1 0.1
	// 1 0.2
	// 1 0.2
}
