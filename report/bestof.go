package report

import "haf/eval"

// BestOf makes the page of a best-of-n curve: its table, with a header as first row, and plots of
// the selected sample's reward, and of its gold reward if gold is set, against n and against KL.
func BestOf(curve []eval.BestOf, gold bool, cells [][]string) (Page, error) {
	section := Section{Title: "Best of n"}
	section.Add(Table{Header: cells[0], Rows: cells[1:]}, Text("The mean over prompts of what the "+
		"sample with the highest reward of n has, over all subsets of n; ± is one standard error over "+
		"prompts. KL = log n − (n−1)/n, from the policy that was sampled: an upper bound."))
	n, kl := Plot{X: "n", Y: "reward"}, Plot{X: "KL, nats", Y: "reward"}
	add := func(name string, of func(eval.BestOf) (mean, err float64)) {
		byN, byKL := Series{Name: name}, Series{Name: name}
		for _, b := range curve {
			mean, err := of(b)
			byN.X, byKL.X = append(byN.X, float64(b.N)), append(byKL.X, b.KL)
			byN.Y, byN.Low, byN.High = append(byN.Y, mean), append(byN.Low, mean-err),
				append(byN.High, mean+err)
		}
		byKL.Y, byKL.Low, byKL.High = byN.Y, byN.Low, byN.High
		n.Series, kl.Series = append(n.Series, byN), append(kl.Series, byKL)
	}
	add("reward", func(b eval.BestOf) (float64, float64) { return b.Reward, b.Error })
	if gold {
		add("gold reward", func(b eval.BestOf) (float64, float64) { return b.Gold, b.GoldError })
	}
	for _, f := range []struct {
		plot          Plot
		name, caption string
	}{{n, "best-of-n", "The best of n samples"},
		{kl, "best-of-n-kl", "The same against KL from the policy"}} {
		figure, err := f.plot.Figure(f.name, f.caption)
		if err != nil {
			return Page{}, err
		}
		section.Add(figure)
	}
	return Page{Title: "Best of n", Sections: []Section{section}}, nil
}
