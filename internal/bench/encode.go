package bench

import (
	"runtime"
	"time"

	"haf/recipe"
	"haf/reward"
	"haf/train"
)

// measureEncoding takes the first pairs of the data from the file to packed batches, as training
// does, without a device.
func measureEncoding(r *recipe.Recipe, c Case, opt Options) (Result, error) {
	result := Result{Case: c.Name, Unit: c.Unit, Reading: &EncodeResult{}}
	e := result.Reading
	model, err := reward.OpenWithoutWeights(r.Model.Path, r.ModelOptions())
	if err != nil {
		return result, err
	}
	defer model.Close()
	result.Start = time.Since(opt.Began).Seconds()
	empty := liveBytes()
	lap := time.Now()
	done := func(seconds *float64, bytes *uint64) {
		*seconds = time.Since(lap).Seconds()
		*bytes = liveBytes() - min(empty, liveBytes())
		lap = time.Now()
	}
	r.Data.Limit = opt.Pairs
	groups, valid, _, err := r.Groups()
	if err != nil {
		return result, err
	}
	done(&e.Read, &e.ReadBytes)
	data, _, err := r.Encode(model.Encoder, groups, valid)
	if err != nil {
		return result, err
	}
	groups = nil
	done(&e.Encode, &e.EncodeBytes)
	estimate, err := train.Estimate(model, data, r.TrainOptions())
	if err != nil {
		return result, err
	}
	done(&e.Pack, &e.PackBytes)
	runtime.KeepAlive(data)
	e.Pairs, result.PackingEfficiency = estimate.Groups, estimate.PackingEfficiency
	seconds := e.Read + e.Encode + e.Pack
	result.Seconds, result.Rate = []float64{seconds}, float64(e.Pairs)/seconds
	return result, nil
}

// liveBytes is the size of the heap after a garbage collection.
func liveBytes() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
