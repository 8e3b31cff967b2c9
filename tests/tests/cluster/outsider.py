"""Runs `do_work` over a hundred tuples on a cluster, with nothing of poolmap but its .proto files and an access file.

    outsider.py PROTO_FOLDER ACCESS_FILE

Prints each task's index and value, in the order of the indexes.
"""

import pathlib
import re
import sys
import tempfile

import grpc
from grpc_tools import protoc

COORDINATOR = "coordinator.poolmap.internal"
TASKS = 100


def stubs(protos):
    """Makes the code of all services and returns the modules of jobs and tasks."""
    folder = tempfile.TemporaryDirectory()
    files = [str(path.relative_to(protos)) for path in protos.rglob("*.proto")]
    words = ["protoc", f"-I{protos}", f"--python_out={folder.name}", f"--grpc_python_out={folder.name}", *files]
    if protoc.main(words) != 0:
        sys.exit("protoc failed")
    sys.path.insert(0, folder.name)
    from poolmap.v1 import jobs_pb2, jobs_pb2_grpc, task_pb2

    folder.cleanup()
    return jobs_pb2, jobs_pb2_grpc, task_pb2


def channel(access):
    text = pathlib.Path(access).read_text()
    (address,) = re.findall(r'addresses = \[\s*"([^"]+)"', text)
    pem = {name: re.search(name + r' = """(.*?)"""', text, re.DOTALL).group(1).strip() for name in ("authority", "certificate", "key")}
    credentials = grpc.ssl_channel_credentials(*(pem[name].encode() for name in ("authority", "key", "certificate")))
    return grpc.secure_channel(address, credentials, options=[("grpc.ssl_target_name_override", COORDINATOR)])


def main(protos, access):
    jobs, services, tasks = stubs(pathlib.Path(protos))
    with channel(access) as connection:
        stub = services.JobsStub(connection)
        function = tasks.Function(native=tasks.NativeFunction(name="do_work"))
        job = stub.Submit(jobs.SubmitRequest(spec=jobs.JobSpec(name="from outside", function=function))).job_id
        payloads = [b"[%d,4,5]" % number for number in range(TASKS)]
        chunk = tasks.TaskChunk(first_index=0, lengths=map(len, payloads), payloads=b"".join(payloads))
        (answer,) = stub.AddTasks(iter([jobs.AddTasksRequest(job_id=job, chunk=chunk, last=True)]))
        assert answer.tasks == TASKS, answer
        values = {}
        for response in stub.Outcomes(iter([jobs.OutcomesRequest(job_id=job, cursor=0)])):
            for run in response.runs:
                begin = 0
                for offset, length in enumerate(run.lengths):
                    values[run.first_index + offset] = run.values[begin : begin + length].decode()
                    begin += length
        assert response.end.tasks == TASKS and response.end.failed == 0, response.end
    for index in sorted(values):
        print(index, values[index])


if __name__ == "__main__":
    main(*sys.argv[1:])
