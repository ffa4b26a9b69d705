package paper

import "fmt"

// backbones are the base models in the paper's tables.
var backbones = []string{"Phi-2", "Mistral-base", "Mistral-instruct"}

// columns are those of the paper's tables: HH helpful and harmless, Chatbot Arena, BeaverTails,
// Alpaca human preference.
var columns = []string{"Helpful", "Harmless", "CA", "BS", "AHP"}

// A published number is an accuracy in percent, by backbone, method and the columns above.
type published struct {
	Backbone, Method string
	Percent          [5]float64
}

// publishedTables are from the paper (arXiv 2407.04185): its table 2; its table 3 within domains,
// by training set, where the two other methods follow from the printed differences; and its figure
// 4, read off the drawing to within 0.2.
var publishedTables = map[string][]published{
	InDistribution: {
		{"Phi-2", "Baseline", [5]float64{64.30, 69.50, 79.30, 76.00, 58.40}},
		{"Phi-2", "DPO", [5]float64{69.70, 66.30, 66.80, 87.80, 52.60}},
		{"Phi-2", "HaF", [5]float64{76.40, 70.40, 79.00, 84.00, 60.80}},
		{"Mistral-base", "Baseline", [5]float64{72.60, 69.80, 64.20, 78.30, 50.40}},
		{"Mistral-base", "DPO", [5]float64{64.60, 69.90, 68.80, 91.70, 53.80}},
		{"Mistral-base", "HaF", [5]float64{73.00, 70.00, 74.40, 85.40, 56.30}},
		{"Mistral-instruct", "Baseline", [5]float64{76.20, 72.70, 79.80, 80.80, 56.30}},
		{"Mistral-instruct", "DPO", [5]float64{74.29, 70.30, 81.90, 92.70, 60.30}},
		{"Mistral-instruct", "HaF", [5]float64{75.80, 73.10, 81.90, 88.70, 63.10}},
	},
	OOD: {
		{"Phi-2", "Baseline", [5]float64{65.20, 75.40, 63.80, 65.00, 66.30}},
		{"Phi-2", "DPO", [5]float64{46.30, 68.30, 50.85, 66.00, 43.80}},
		{"Phi-2", "HaF", [5]float64{66.10, 76.90, 62.45, 70.60, 67.50}},
		{"Mistral-base", "Baseline", [5]float64{63.25, 73.40, 58.50, 69.10, 54.75}},
		{"Mistral-base", "DPO", [5]float64{49.55, 69.50, 50.35, 66.30, 45.10}},
		{"Mistral-base", "HaF", [5]float64{62.40, 75.30, 56.35, 69.60, 59.65}},
		{"Mistral-instruct", "Baseline", [5]float64{67.60, 74.30, 64.00, 70.50, 63.80}},
		{"Mistral-instruct", "DPO", [5]float64{53.15, 71.00, 53.65, 68.90, 59.45}},
		{"Mistral-instruct", "HaF", [5]float64{67.40, 76.70, 63.30, 71.90, 72.20}},
	},
	Mixed: {
		{"Phi-2", "Baseline", [5]float64{64.5, 60.4, 76.7, 67.6, 56.5}},
		{"Phi-2", "DPO", [5]float64{62.9, 63.4, 61.8, 74.8, 53.2}},
		{"Phi-2", "HaF", [5]float64{71.1, 65.9, 77.5, 74.3, 58.4}},
		{"Mistral-base", "Baseline", [5]float64{63.4, 58.7, 66.4, 69.0, 51.6}},
		{"Mistral-base", "DPO", [5]float64{55.4, 64.6, 60.3, 76.1, 52.7}},
		{"Mistral-base", "HaF", [5]float64{67.6, 66.8, 75.1, 75.0, 54.8}},
		{"Mistral-instruct", "Baseline", [5]float64{73.2, 65.3, 78.9, 74.0, 62.6}},
		{"Mistral-instruct", "DPO", [5]float64{70.6, 66.5, 74.2, 78.7, 59.9}},
		{"Mistral-instruct", "HaF", [5]float64{75.3, 68.4, 80.8, 79.2, 61.8}},
	},
}

var publishedCaptions = map[string]string{
	InDistribution: "Published, in distribution (table 2), accuracy in %",
	OOD: "Published, on the other sets of the training set's domain (table 3, internal), " +
		"accuracy in %",
	Mixed: "Published, one model trained on all sets (figure 4, read off the drawing within 0.2), " +
		"accuracy in %",
}

// row returns the published row as cells, with the mean of the columns.
func (p published) row() []string {
	row := []string{"paper, " + p.Backbone, p.Method}
	sum := 0.0
	for _, v := range p.Percent {
		row, sum = append(row, fmt.Sprintf("%.1f", v)), sum+v
	}
	return append(row, fmt.Sprintf("%.1f", sum/float64(len(p.Percent))))
}
