package eval

import (
	"maps"
	"slices"

	"haf/pref"
)

// BySubset and BySource measure the parts of a set separately, in the order of their names. Groups
// without a subset are the part "".
func BySubset(groups []pref.Group, rewards [][]float64) ([]Row, error) {
	return byPart(groups, rewards, func(g pref.Group) string { return g.Subset })
}

// BySource measures the groups of each file separately.
func BySource(groups []pref.Group, rewards [][]float64) ([]Row, error) {
	return byPart(groups, rewards, func(g pref.Group) string { return g.Source.File })
}

func byPart(groups []pref.Group, rewards [][]float64, part func(pref.Group) string) ([]Row, error) {
	if err := check(groups, rewards); err != nil {
		return nil, err
	}
	of := map[string][]int{}
	for g, group := range groups {
		if len(group.Comparisons) > 0 {
			of[part(group)] = append(of[part(group)], g)
		}
	}
	var rows []Row
	for _, name := range slices.Sorted(maps.Keys(of)) {
		some, theirs := take(groups, rewards, of[name])
		r, err := Comparisons(some, theirs)
		if err != nil {
			return nil, err
		}
		rows = append(rows, Row{Name: name, Result: r})
	}
	return rows, nil
}

func take(
	groups []pref.Group, rewards [][]float64, indices []int,
) (some []pref.Group, theirs [][]float64) {
	for _, g := range indices {
		some, theirs = append(some, groups[g]), append(theirs, rewards[g])
	}
	return some, theirs
}
