package backend

import (
	"strings"
	"testing"
)

// TestMeshOfGPUs checks that a mesh of GPUs uses those of the one client, and that more than are
// visible are refused. Virtual devices of a CPU stand for GPUs here.
func TestMeshOfGPUs(t *testing.T) {
	found, err := Find("cpu")
	if err != nil || len(found) == 0 {
		t.Skipf("no XLA plug-in for CPUs: %v", err)
	}
	client, err := openDevices(found[0], 2)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Finalize()
	gpus := &Device{Backend: client.Backend, kind: KindCUDA, programs: &programs{}}
	if _, err := gpus.OnMesh(Mesh{Data: 2, Shard: 2}); err == nil || !strings.Contains(err.Error(),
		"mesh.data = 2, mesh.shard = 2 needs 4 GPUs, and 2 are visible") {
		t.Errorf("four of two GPUs: %v", err)
	}
	on, err := gpus.OnMesh(Mesh{Data: 1, Shard: 2})
	if err != nil {
		t.Fatal(err)
	}
	if on.Backend != client.Backend || on.Mesh() != (Mesh{1, 2}) || gpus.Mesh() != (Mesh{1, 1}) {
		t.Errorf("the mesh is %v, that of the device %v", on.Mesh(), gpus.Mesh())
	}
	on.Finalize()
	if client.IsFinalized() {
		t.Error("the end of a mesh closed the client of the device")
	}
}
