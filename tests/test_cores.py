"""parallel.one_device_a_core: what the launchers make of a CPU."""

CORES = """
    import json, os, jax
    from postbc_jax import parallel
    parallel.one_device_a_core()
    asked = 'count=3' in os.environ['XLA_FLAGS']
    cores = 3 if asked else len(os.sched_getaffinity(0))
    assert len(jax.devices()) == cores
    shapes = [dict(parallel.mesh(learners).shape) for learners in (1, 2 * cores)]
    print(json.dumps([cores, shapes]))
    """


def test_every_core_is_a_device_and_only_learners_take_one(start_python, finish_python):
    cores, (one, many) = finish_python(start_python(CORES, XLA_FLAGS=''))
    assert one == {'learner': 1, 'data': 1}  # the other cores are its threads
    assert many == {'learner': cores, 'data': 1}


def test_a_number_of_devices_that_was_asked_for_stays(start_python, finish_python):
    cores, (one, many) = finish_python(start_python(CORES, devices=3))
    assert (cores, one, many) == (3, {'learner': 1, 'data': 3}, {'learner': 3, 'data': 1})
