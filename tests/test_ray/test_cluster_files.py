# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What clusters are told: KubeRay's file, its image, and Slurm's script, as far as no cluster is needed."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess

import pytest
import yaml

from tests.support import ROOT

EXAMPLES = ROOT / 'docs' / 'en' / 'examples'
#: Each notes how it was called; srun runs what it is given, without its own flags.
STAND_INS = {
    'scontrol': 'printf "node1\\nnode2\\nnode3\\n"',
    'hostname': 'echo "10.0.0.1 fe80::1"',
    'sleep': 'true',
    'ray': 'true',
    'mmcascade': 'true',
    'srun': 'while [ "${1#-}" != "$1" ]; do [ "$1" = -w ] && shift; shift; done; "$@"',
}


@pytest.fixture(scope='module')
def service():
    return yaml.safe_load((EXAMPLES / 'kuberay_serve.yaml').read_text())


@pytest.mark.ray
@pytest.mark.filterwarnings('ignore')
def test_ray_takes_the_serve_config(service):
    from ray.serve.config import AutoscalingConfig
    from ray.serve.schema import DeploymentSchema, RayActorOptionsSchema, ServeApplicationSchema, ServeDeploySchema

    config = yaml.safe_load(service['spec']['serveConfigV2'])
    (told,) = config['applications']
    (of_deployment,) = told['deployments']
    (application,) = ServeDeploySchema.model_validate(config).applications
    (deployment,) = application.deployments
    assert (application.name, application.route_prefix, deployment.name) == ('mmcascade', '/', 'cascade')
    # Ray passes over names that it does not know.
    for fields, schema in (
        (told, ServeApplicationSchema),
        (of_deployment, DeploymentSchema),
        (of_deployment['ray_actor_options'], RayActorOptionsSchema),
        (of_deployment['autoscaling_config'], AutoscalingConfig),
    ):
        assert set(fields) <= set(schema.model_fields), schema
    scaling = AutoscalingConfig.model_validate(deployment.autoscaling_config)
    assert scaling.max_replicas > scaling.min_replicas and deployment.max_ongoing_requests == 256
    of_deployment['max_ongoing_requests'] = 'many'
    with pytest.raises(ValueError, match='max_ongoing_requests'):
        ServeDeploySchema.model_validate(config)


def test_pods_have_one_image_and_the_bundle_where_it_is_looked_for(service):
    cluster = service['spec']['rayClusterConfig']
    pods = [group['template']['spec'] for group in (cluster['headGroupSpec'], *cluster['workerGroupSpecs'])]
    containers = [container for pod in pods for container in pod['containers']]
    (application,) = yaml.safe_load(service['spec']['serveConfigV2'])['applications']
    folders = application['args']['bundles'].values()
    assert len({container['image'] for container in containers}) == 1
    for pod in pods:
        (container,) = pod['containers']
        (mount,) = container['volumeMounts']
        assert mount['name'] in {volume['name'] for volume in pod['volumes']} and mount['readOnly']
        assert all(folder.startswith(f'{mount["mountPath"]}/') for folder in folders)
    (workers,) = cluster['workerGroupSpecs']
    assert cluster['enableInTreeAutoscaling'] and workers['minReplicas'] <= workers['replicas'] < workers['maxReplicas']
    (deployment,) = application['deployments']
    room = workers['maxReplicas'] * int(pods[1]['containers'][0]['resources']['limits']['cpu'])
    assert deployment['autoscaling_config']['max_replicas'] * deployment['ray_actor_options']['num_cpus'] <= room


def test_the_image_holds_the_ray_that_the_cluster_is_told_of(service):
    locked = re.search(r'^ray==(\S+)', (ROOT / 'requirements' / 'lock.txt').read_text(), re.M)
    assert locked is not None and service['spec']['rayClusterConfig']['rayVersion'] == locked[1].rstrip(' \\')
    dockerfile = (ROOT / 'Dockerfile').read_text()
    for text in (dockerfile, (EXAMPLES / 'kuberay_serve.yaml').read_text()):
        (extras,) = re.findall(r'--build-arg EXTRAS=(\S+)', text)
        assert all((ROOT / 'requirements' / f'{extra}.txt').is_file() for extra in extras.split(','))
        assert {'serve', 'ray'} == set(extras.split(','))
    for line in (r'^ARG EXTRAS=', r'^ENV .*PATH=/opt/mmcascade/bin:', r'\*ray\*\) apt-get .* wget'):
        assert re.search(line, dockerfile, re.M), line


def run_slurm(folder, nodes):
    """The script with stand-ins for what a cluster has; the commands that were called."""
    for name, body in STAND_INS.items():
        noted = f'line=$(printf "%q " {name} "$@"); echo "$line" >> "$CALLS"'
        (folder / name).write_text(f'#!/bin/bash\n{noted}\n{body}\n')
        (folder / name).chmod(0o755)
    environment = {
        'PATH': f'{folder}:{os.environ["PATH"]}',
        'CALLS': str(folder / 'calls'),
        'SLURM_JOB_NODELIST': 'node[1-3]',
        'SLURM_NNODES': str(nodes),
        'SLURM_CPUS_PER_TASK': '16',
    }
    script = EXAMPLES / 'slurm_predict.sh'
    command = ['bash', str(script), '/data/bundle', '/data/my images', '/data/out']
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [shlex.split(line) for line in (folder / 'calls').read_text().splitlines()]


@pytest.mark.parametrize('nodes', [3, 1])
def test_the_script_of_slurm_starts_a_head_then_the_others_then_the_run(tmp_path, nodes):
    calls = run_slurm(tmp_path, nodes)
    ray = [call[1:] for call in calls if call[0] == 'ray']
    head = ['start', '--head', '--node-ip-address=10.0.0.1', '--port=6379', '--num-cpus=16', '--block']
    others = ['start', '--address=10.0.0.1:6379', '--num-cpus=16', '--block']
    assert sorted(ray) == sorted([['get-auth-token', '--generate'], head, *([others] if nodes > 1 else [])])
    steps = [call for call in calls if call[0] == 'srun']
    assert [step for step in steps if f'--nodes={nodes - 1}' in step and '--exclude=node1' in step] or nodes == 1
    (decided,) = (call for call in calls if call[0] == 'mmcascade')
    parser = runpy.run_path(str(ROOT / 'tools' / 'predict.py'))['parser']
    args = parser().parse_args(decided[2:])
    assert (decided[1], args.cascade, args.inputs) == ('predict', '/data/bundle', ['/data/my images'])
    assert (args.engine, args.address, str(args.out)) == ('ray', '10.0.0.1:6379', '/data/out')
