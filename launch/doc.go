// Package launch takes a recipe to a finished run. It fetches what the recipe names, opens models
// and data, makes the run folder or checks that a resumed run is unchanged, and then has package
// train or rlhf run the steps. haf train, haf rlhf, haf demo and haf paper start their runs here.
package launch
