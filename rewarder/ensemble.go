package rewarder

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"haf/pref"
)

// ErrNoCommonReward is wrapped if the members of an ensemble have no reward in common and none is
// named.
var ErrNoCommonReward = errors.New("the members have no reward in common")

// A Member is a member of an ensemble, with its name for errors.
type Member struct {
	Name string
	pref.Rewarder
}

// An Ensemble makes one Rewarder of several: the rule combines the members' rewards of each name.
type Ensemble struct {
	rule    Rule
	members []Member
}

// NewEnsemble returns an ensemble of two or more members. Its Close closes the members.
func NewEnsemble(rule Rule, members ...Member) (*Ensemble, error) {
	if err := rule.Check(); err != nil {
		return nil, err
	}
	if len(members) < 2 {
		return nil, fmt.Errorf("rewarder: an ensemble of %d, want two models or more", len(members))
	}
	return &Ensemble{rule, members}, nil
}

// OpenEnsemble opens the named members and returns their ensemble. If one cannot be opened, the
// others are closed.
func OpenEnsemble(
	rule Rule, names []string, open func(name string) (pref.Rewarder, error),
) (*Ensemble, error) {
	members := make([]Member, len(names))
	for i, name := range names {
		r, err := open(name)
		if err != nil {
			for _, m := range members[:i] {
				err = errors.Join(err, m.Close())
			}
			return nil, err
		}
		members[i] = Member{name, r}
	}
	return NewEnsemble(rule, members...)
}

// OpenOnDemand is [OpenEnsemble] for members that are open only while they are read: see
// [OnDemand].
func OpenOnDemand(
	rule Rule, names []string, open func(name string) (pref.Rewarder, error),
) (*Ensemble, error) {
	return OpenEnsemble(rule, names, func(name string) (pref.Rewarder, error) {
		return OnDemand{func(context.Context) (pref.Rewarder, error) { return open(name) }}, nil
	})
}

// Rewards lists the names that all members have, in the order of the first.
func (e *Ensemble) Rewards() []string {
	var all [][]string
	for _, m := range e.members {
		all = append(all, m.Rewards())
	}
	return inAll(all)
}

// inAll lists what all lists have, in the order of the first.
func inAll(lists [][]string) []string {
	return slices.DeleteFunc(slices.Clone(lists[0]), func(name string) bool {
		return slices.ContainsFunc(lists, func(of []string) bool {
			return !slices.Contains(of, name)
		})
	})
}

// Refuses implements [pref.Refuser]: the chat templates of all members must accept a prompt.
func (e *Ensemble) Refuses(prompt []pref.Message) error {
	var errs []error
	for _, m := range e.members {
		errs = append(errs, refusedBy(m.Rewarder, prompt))
	}
	return errors.Join(errs...)
}

// Close closes the members.
func (e *Ensemble) Close() error {
	var errs []error
	for _, m := range e.members {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}

// Read implements [pref.Rewarder]. It reads one member after the other. The readings have the
// groups that all members could read, with the comparisons and ties that all members kept.
func (e *Ensemble) Read(
	ctx context.Context, groups []pref.Group, names []string,
) (pref.Readings, error) {
	read, of := make([]pref.Readings, len(e.members)), make([][]string, len(e.members))
	for i, m := range e.members {
		var err error
		if read[i], err = m.Read(ctx, groups, names); err != nil {
			return pref.Readings{}, fmt.Errorf("%s: %w", m.Name, err)
		}
		of[i] = read[i].Names
	}
	if names = inAll(of); len(names) == 0 {
		return pref.Readings{}, fmt.Errorf("rewarder: %w: name one with -rewards", ErrNoCommonReward)
	}
	return e.rule.reduce(read, names), nil
}

// reduce lines up the members' readings and reduces the named rewards.
func (r Rule) reduce(members []pref.Readings, names []string) pref.Readings {
	out := pref.Readings{Names: names, Rewards: map[string][][]float64{}, Refused: map[int]error{},
		Cut: "something was cut to fit a member"}
	place := make([]map[int]int, len(members)) // of a group, by its position in the groups given
	for m, of := range members {
		place[m] = map[int]int{}
		for i, index := range of.Index {
			place[m][index] = i
		}
		for index, err := range of.Refused {
			out.Refused[index] = err
		}
	}
	for i, index := range members[0].Index {
		at, ok := make([]int, len(members)), true
		for m := range members {
			var found bool
			at[m], found = place[m][index]
			ok = ok && found
		}
		if !ok {
			continue
		}
		g := members[0].Groups[i]
		compared := g.Compared()
		for m, of := range members {
			g = g.KeepBoth(of.Groups[at[m]])
		}
		if compared && !g.Compared() {
			continue
		}
		out.Groups, out.Index = append(out.Groups, g), append(out.Index, index)
		out.Truncated = append(out.Truncated, anyTruncated(members, at))
		for _, name := range names {
			rewards := make([]float64, len(g.Responses))
			for k := range rewards {
				each := make([]float64, len(members))
				for m, of := range members {
					each[m] = of.Rewards[name][at[m]][k]
				}
				rewards[k] = r.Reduce(each)
			}
			out.Rewards[name] = append(out.Rewards[name], rewards)
		}
	}
	out.Report = fmt.Sprintf("%d groups that all %d members could read", len(out.Groups),
		len(members))
	return out
}

// anyTruncated says of each response of a group, which stands at a place of its own with each
// member, whether any member cut it.
func anyTruncated(members []pref.Readings, at []int) []bool {
	cut := make([]bool, len(members[0].Truncated[at[0]]))
	for m, of := range members {
		for k, c := range of.Truncated[at[m]] {
			cut[k] = cut[k] || c
		}
	}
	return cut
}

// OnDemand is a Rewarder that is open only while it is read. So an ensemble that reads its members
// one after the other needs the memory of one.
type OnDemand struct {
	Open func(ctx context.Context) (pref.Rewarder, error)
}

// Rewards opens the Rewarder to ask it. If that fails, it returns nothing, and Read reports the
// error.
func (d OnDemand) Rewards() []string {
	r, err := d.Open(context.Background())
	if err != nil {
		return nil
	}
	names := slices.Clone(r.Rewards())
	if r.Close() != nil {
		return nil
	}
	return names
}

// Read implements [pref.Rewarder].
func (d OnDemand) Read(
	ctx context.Context, groups []pref.Group, names []string,
) (out pref.Readings, err error) {
	r, err := d.Open(ctx)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return r.Read(ctx, groups, names)
}

// Close implements [pref.Rewarder]; there is nothing to free.
func (d OnDemand) Close() error { return nil }
