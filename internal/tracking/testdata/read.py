"""Prints what TensorBoard, wandb and an MLflow server have of the run in a folder, as JSON."""

import glob
import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto import wandb_internal_pb2
from wandb.sdk.internal.datastore import DataStore


def tensorboard(folder):
    events = EventAccumulator(folder + "/tensorboard").Reload()
    texts = [e.tensor_proto.string_val[0].decode() for e in events.Tensors("recipe")] \
        if "recipe" in events.Tags()["tensors"] else []
    return {
        "values": {tag: [[e.step, e.value] for e in events.Scalars(tag)]
                   for tag in events.Tags()["scalars"]},
        "texts": texts,
    }


def wandb(folder):
    store = DataStore()
    store.open_for_scan(glob.glob(folder + "/wandb/offline-run-*/run-*.wandb")[0])
    out = {"values": {}, "config": {}}
    while (data := store.scan_data()) is not None:
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            out["project"], out["name"] = record.run.project, record.run.display_name
            out["config"] = {i.key: json.loads(i.value_json) for i in record.run.config.update}
        if kind == "history":
            for item in record.history.item:
                if not item.key.startswith("_"):
                    point = [record.history.step.num, json.loads(item.value_json)]
                    out["values"].setdefault(item.key, []).append(point)
        if kind == "exit":
            out["exit"] = record.exit.exit_code
    return out


def mlflow(uri):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("haf")
    runs = client.search_runs([experiment.experiment_id])
    return {
        "runs": len(runs),
        "status": runs[0].info.status,
        "name": runs[0].info.run_name,
        "config": runs[0].data.params,
        "values": {key: [[m.step, m.value] for m in client.get_metric_history(runs[0].info.run_id, key)]
                   for key in runs[0].data.metrics},
    }


folder, uri = sys.argv[1:]
print(json.dumps({"tensorboard": tensorboard(folder), "wandb": wandb(folder), "mlflow": mlflow(uri)}))
