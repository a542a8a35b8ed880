"""Which peers can do a training step."""

import numpy as np
from scipy.sparse import csr_array

SIZES = (40, 30, 20, 10)


def test_peers_refuse_what_they_cannot_do():
    from harness.peer import supported
    from harness.workloads import hot_step
    from peers import HOT_STEPS

    everybody = {peer.name for peer in HOT_STEPS}
    among, left_out = supported(HOT_STEPS, hot_step(0.9, 4, sizes=SIZES))
    assert {peer.name for peer in among} == everybody
    assert not left_out
    among, left_out = supported(HOT_STEPS, hot_step(0.9, 4, sizes=SIZES, dtype="float64"))
    assert {"SparseProp", "SparseLab"} <= left_out.keys()
    among, left_out = supported(HOT_STEPS, hot_step(0.0, 4, sizes=SIZES))
    assert [peer.name for peer in among] == ["nerva", "PyTorch dense"]


def test_a_dense_layer_may_be_too_large():
    from harness.workloads import Step
    from peers import DensePyTorchStep

    work = Step([csr_array((16384, 16384), dtype=np.float32)], np.zeros((1, 16384), np.float32), np.zeros(1, np.int64))
    assert "1.1 GB" in DensePyTorchStep.unsupported(work)


def test_dense_peers_train_another_network_where_a_layer_is_sparse():
    from harness.workloads import hot_step
    from peers import HOT_STEPS

    others = [peer.name for peer in HOT_STEPS if not peer.same_network(hot_step(0.9, 4, sizes=SIZES))]
    assert others == ["PyTorch dense"]
    assert all(peer.same_network(hot_step(0.0, 4, sizes=SIZES)) for peer in HOT_STEPS)
