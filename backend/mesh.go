package backend

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A Mesh says how many devices of one host a run uses. Data × Shard devices are used in all. The
// zero value, as 1 × 1, is one device.
type Mesh struct {
	// Data is the number of devices, or rows of devices, that each hold the whole state and divide
	// the batch among them.
	Data int
	// Shard is the number of devices in such a row. They divide parameters, gradients and moments.
	Shard int
}

// Devices is the number of devices.
func (m Mesh) Devices() int { return max(1, m.Data) * max(1, m.Shard) }

// String is the mesh as the keys of a recipe.
func (m Mesh) String() string {
	return fmt.Sprintf("mesh.data = %d, mesh.shard = %d", max(1, m.Data), max(1, m.Shard))
}

// Mesh is the mesh that programs on the device run on, 1 × 1 unless it is of [Device.OnMesh].
func (d *Device) Mesh() Mesh { return Mesh{max(1, d.mesh.Data), max(1, d.mesh.Shard)} }

// OnMesh returns the device for a mesh: d itself for one device. A CPU shows as many virtual
// devices as are asked for; they share its cores and its memory. The caller must finalize a device
// that is not d.
func (d *Device) OnMesh(m Mesh) (*Device, error) {
	n := m.Devices()
	if own := d.Mesh(); n == 1 || m == own {
		return d, nil
	} else if own.Devices() > 1 {
		return nil, fmt.Errorf("backend: the device was opened for %s, and %s is asked for: give one "+
			"of both, by -device or by the recipe", own, m)
	}
	switch d.kind {
	case KindGo:
		return nil, fmt.Errorf("backend: %s needs %d devices, and the pure Go backend has one: "+
			"install XLA (haf setup) and use -device cpu or cuda, or set both to 1", m, n)
	case KindCUDA:
		if have := d.NumDevices(); n > have {
			return nil, fmt.Errorf("backend: %s needs %d GPUs, and %d are visible: set them to a "+
				"product of at most %d, or show more with CUDA_VISIBLE_DEVICES", m, n, have, have)
		}
		on := *d // one client has all GPUs
		on.programs = &programs{}
		on.mesh, on.shared = m, true
		return &on, nil
	}
	on, err := openDevices(d.plugin, n)
	if err != nil {
		return nil, err
	}
	on.mesh, on.tellPath, on.available = m, d.tellPath, d.available
	return on, nil
}

// meshInName begins the mesh in a device's name.
var meshInName = regexp.MustCompile(`,(data|shard)=`)

// cutMesh cuts the mesh off a device's name: "cpu,data=2,shard=2".
func cutMesh(name string) (device string, m Mesh, err error) {
	m = Mesh{1, 1}
	at := meshInName.FindStringIndex(name)
	if at == nil {
		return name, m, nil
	}
	for part := range strings.SplitSeq(name[at[0]+1:], ",") {
		key, value, _ := strings.Cut(part, "=")
		n, bad := strconv.Atoi(value)
		switch {
		case bad == nil && n >= 1 && key == "data":
			m.Data = n
		case bad == nil && n >= 1 && key == "shard":
			m.Shard = n
		default:
			return name, m, fmt.Errorf("backend: device %q: %q is no size of a mesh: want numbers of "+
				"devices, as in cpu,data=2,shard=2", name, part)
		}
	}
	return name[:at[0]], m, nil
}
