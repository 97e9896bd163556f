"""The programs that `lossjax.devices` reads: short ones, in the form in which XLA prints them."""

import pytest

from lossjax.devices._program import Program

ADDITION = """
HloModule jit_added, is_scheduled=true

ENTRY %main.3 (a.1: f32[8,128], b.1: f32[8,128]) -> f32[8,128] {
  %a.1 = f32[8,128]{1,0} parameter(0), metadata={op_name="a"}
  %b.1 = f32[8,128]{1,0} parameter(1), sharding={mesh[], [{}, {}]}, metadata={op_name="b"}
  ROOT %add.1 = f32[8,128]{1,0} add(%a.1, %b.1), metadata={op_name="jit(added)/add" stack=1}
}
"""


def test_a_program():
    program = Program(ADDITION)
    assert [kernel.opcode for kernel in program.kernels()] == ["add"]
    assert program.bytes_moved() == program.floor_bytes() == 3 * 4096


def test_a_text_that_is_no_program():
    with pytest.raises(ValueError, match="with an ENTRY computation is required, got 'hello'"):
        Program("hello")


# y_pred is copied into vector memory, S(1), in which the second kernel finds it.
TPU = """
%fused_computation (param_0: f32[64,256]) -> f32[64] {
  %param_0 = f32[64,256]{1,0:T(8,128)} parameter(0)
  %constant.1 = f32[]{:T(128)} constant(0)
  ROOT %reduce.1 = f32[64]{0:T(128)S(1)} reduce(%param_0, %constant.1), dimensions={1}, to_apply=%r
}

ENTRY %main (p.1: f32[64,256]) -> (f32[], f32[64,256]) {
  %p.1 = f32[64,256]{1,0:T(8,128)} parameter(0)
  %constant.2 = f32[]{:T(128)} constant(0.5)
  %copy-start = (f32[64,256]{1,0:T(8,128)S(1)}, f32[64,256]{1,0:T(8,128)}, u32[]{:S(2)}) \
copy-start(%p.1)
  %slice-start = ((f32[64,256]{1,0:T(8,128)}), f32[16,256]{1,0:T(8,128)S(1)}, s32[]{:S(2)}) \
slice-start(%p.1), slice={[0:16], [0:256]}
  %fusion.1 = f32[64]{0:T(128)S(1)} fusion(%p.1), kind=kLoop, calls=%fused_computation
  %copy-done = f32[64,256]{1,0:T(8,128)S(1)} copy-done(%copy-start)
  %slice-done = f32[16,256]{1,0:T(8,128)S(1)} slice-done(%slice-start)
  %custom-call = f32[16,256]{1,0:T(8,128)S(1)} custom-call(%slice-done), \
custom_call_target="ConcatBitcast"
  %custom-call.1 = (f32[64,256]{1,0:T(8,128)}, /*index=1*/f32[]{:T(128)}) \
custom-call(%copy-done, /*index=1*/%fusion.1), custom_call_target="kernel"
  %get-tuple-element = f32[]{:T(128)} get-tuple-element(%custom-call.1), index=1
  %multiply = f32[]{:T(128)} multiply(%get-tuple-element, %constant.2)
  %get-tuple-element.1 = f32[64,256]{1,0:T(8,128)} get-tuple-element(%custom-call.1), index=0
  ROOT %tuple = (f32[]{:T(128)}, f32[64,256]{1,0:T(8,128)}) tuple(%multiply, %get-tuple-element.1)
}
"""


def test_on_chip_memory_is_free_and_copies_into_it_are_no_kernels():
    program = Program(TPU)
    assert [kernel.name for kernel in program.kernels()] == ["fusion.1", "custom-call.1"]
    array = 64 * 256 * 4
    # read by the DMA, a quarter read by the DMA, read by the fusion, written by the custom call
    assert program.bytes_moved() == pytest.approx(array * 3.25, rel=1e-3)
    assert program.floor_bytes() == pytest.approx(array * 2, rel=1e-3)


@pytest.mark.parametrize(
    ("array", "size"),
    [
        ("f32[8,3]{1,0:T(8,128)}", 8 * 128 * 4),
        ("bf16[9,128]{1,0:T(8,128)(2,1)}", 16 * 128 * 2),
        ("f32[3,8]{0,1:T(8,128)}", 8 * 128 * 4),
        ("f32[5,2]{1,0}", 40),
        ("pred[7]", 7),
        ("s4[6]{0:E(4)}", 3),
        ("f8e4m3fn[6]{0}", 6),
        ("c64[2]{0}", 16),
        ("f32[<=8]{0}", 32),
        ("token[]", 0),
    ],
)
def test_bytes_of_an_array(array, size):
    program = Program(f"ENTRY %main () -> x {{\n  ROOT %p = {array} parameter(0)\n}}\n")
    assert program.entry.root.main_bytes == size


# One element of 64 is gathered, and one row of the carried array is replaced.
LOOP = """
%fused (param_0: f32[16,64], param_1: f32[64], param_2: s32[]) -> f32[16,64] {
  %param_0 = f32[16,64]{1,0} parameter(0)
  %param_1 = f32[64]{0} parameter(1)
  %negate = f32[64]{0} negate(%param_1)
  %param_2 = s32[] parameter(2)
  %one = f32[1]{0} dynamic-slice(%negate, %param_2), dynamic_slice_sizes={1}
  %row = f32[1,64]{1,0} broadcast(%one), dimensions={0}
  %zero = s32[] constant(0)
  ROOT %update = f32[16,64]{1,0} dynamic-update-slice(%param_0, %row, %param_2, %zero)
}

%body (arg: (s32[], f32[16,64], f32[64], s32[])) -> (s32[], f32[16,64], f32[64], s32[]) {
  %arg = (s32[], f32[16,64]{1,0}, f32[64]{0}, s32[]) parameter(0)
  %i = s32[] get-tuple-element(%arg), index=0
  %step = s32[] get-tuple-element(%arg), index=3
  %next = s32[] add(%i, %step)
  %array = f32[16,64]{1,0} get-tuple-element(%arg), index=1
  %vector = f32[64]{0} get-tuple-element(%arg), index=2
  %fusion = f32[16,64]{1,0} fusion(%array, %vector, %i), kind=kLoop, calls=%fused
  ROOT %result = (s32[], f32[16,64]{1,0}, f32[64]{0}, s32[]) tuple(%next, %fusion, %vector, %step)
}

%condition (arg.1: (s32[], f32[16,64], f32[64], s32[])) -> pred[] {
  %arg.1 = (s32[], f32[16,64]{1,0}, f32[64]{0}, s32[]) parameter(0)
  %i.1 = s32[] get-tuple-element(%arg.1), index=0
  %stop = s32[] constant(20)
  ROOT %less = pred[] compare(%i.1, %stop), direction=LT
}

%called (x: f32[16,64], y: f32[64]) -> f32[16,64] {
  %x = f32[16,64]{1,0} parameter(0)
  %y = f32[64]{0} parameter(1)
  %start = s32[] constant(4)
  %two = s32[] constant(2)
  %first = s32[] copy(%start)
  %init = (s32[], f32[16,64]{1,0}, f32[64]{0}, s32[]) tuple(%first, %x, %y, %two)
  %while = (s32[], f32[16,64]{1,0}, f32[64]{0}, s32[]) while(%init), condition=%condition, \
body=%bodyKNOWN
  ROOT %out = f32[16,64]{1,0} get-tuple-element(%while), index=1
}

ENTRY %main (x.1: f32[16,64], y.1: f32[64]) -> f32[16,64] {
  %x.1 = f32[16,64]{1,0} parameter(0)
  %y.1 = f32[64]{0} parameter(1)
  ROOT %call = f32[16,64]{1,0} call(%x.1, %y.1), to_apply=%called
}
"""


def test_a_loop_in_a_call():
    program = Program(LOOP.replace("KNOWN", ""))
    assert [kernel.opcode for kernel in program.kernels()] == ["while"]
    assert program.has_loops()
    row = 64 * 4
    a_round = row + 4 + 4 + 12 + 9  # written, gathered, index; the counter and the comparison
    assert program.bytes_moved() == 8 * a_round + 8  # range(4, 20, 2), and a copy before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("direction=LT", "direction=NE"),
        ("s32[] constant(20)", "s32[] get-tuple-element(%arg.1), index=0"),
        ("add(%i, %step)", "multiply(%i, %step)"),
        ("s32[] constant(2)", 's32[] custom-call(), custom_call_target="unknown"'),
    ],
)
def test_a_loop_that_is_no_range(old, new):
    assert Program(LOOP.replace("KNOWN", "").replace(old, new)).bytes_moved() is None


def test_a_length_that_the_compiler_wrote_down():
    known = ', backend_config={"known_trip_count":{"n":"3"},"known_init_step":{}}'
    for text in (LOOP, LOOP.replace("direction=LT", "direction=NE")):
        assert Program(text.replace("KNOWN", known)).bytes_moved() == 3 * 285 + 8


BRANCHES = """
%small (s: f32[8]) -> f32[8] {
  %s = f32[8]{0} parameter(0)
  ROOT %n = f32[8]{0} negate(%s)
}

%large (l: f32[8]) -> f32[8] {
  %l = f32[8]{0} parameter(0)
  %e = f32[8]{0} exponential(%l)
  %order = (f32[8]{0}, s32[8]{0}) sort(%e, %e), dimensions={0}, to_apply=%small
  ROOT %g = f32[8]{0} get-tuple-element(%order), index=0
}

%scattered (z: f32[8], at: s32[2], u: f32[2]) -> f32[8] {
  %z = f32[8]{0} parameter(0)
  %at = s32[2]{0} parameter(1)
  %u = f32[2]{0} parameter(2)
  ROOT %scatter = f32[8]{0} scatter(%z, %at, %u), to_apply=%small
}

ENTRY %main (c: s32[], v: f32[8], at.1: s32[2], u.1: f32[2]) -> f32[8] {
  %c = s32[] parameter(0)
  %v = f32[8]{0} parameter(1)
  %at.1 = s32[2]{0} parameter(2)
  %u.1 = f32[2]{0} parameter(3)
  %chosen = f32[8]{0} conditional(%c, %v, %v), branch_computations={%small, %large}
  ROOT %fusion = f32[8]{0} fusion(%chosen, %at.1, %u.1), kind=kInput, calls=%scattered
}
"""


def test_the_dearer_branch_counts_and_a_scatter_combines():
    program = Program(BRANCHES)
    assert [kernel.opcode for kernel in program.kernels()] == ["conditional", "fusion"]
    large = 64 + 4 * 32  # exponential; sort of two, into two
    scatter = 8 + 8 + 8 + 8  # indices, updates, the elements read and written
    assert program.bytes_moved() == large + scatter


# As a CPU and a GPU print it, as a TPU does, and as cuBLAS is called; all in a loop of two rounds.
PRODUCTS = {
    "dot": "dot(%a, %b), lhs_batch_dims={0}, lhs_contracting_dims={2}, rhs_batch_dims={0}",
    "convolution": "convolution(%a, %b), dim_labels=0bf_0io->0bf",
    "cuBLAS": 'custom-call(%a, %b), custom_call_target="__cublas$gemm", backend_config={"dimension'
    's":{"lhs_contracting_dimensions":["2"],"rhs_contracting_dimensions":["1"]}}',
    "unknown": 'custom-call(%a, %b), custom_call_target="__onednn$matmul"',
}
OF_PRODUCTS = """
%fused (a: f32[1,64,128], b: f32[1,128,32]) -> f32[1,64,32] {
  %a = f32[1,64,128]{2,1,0} parameter(0)
  %b = f32[1,128,32]{2,1,0} parameter(1)
  %product = f32[1,64,32]{2,1,0} PRODUCT
  ROOT %negate = f32[1,64,32]{2,1,0} negate(%product)
}

%body (arg: (s32[], f32[1,64,128], f32[1,128,32])) -> (s32[], f32[1,64,128], f32[1,128,32]) {
  %arg = (s32[], f32[1,64,128]{2,1,0}, f32[1,128,32]{2,1,0}) parameter(0)
  %i = s32[] get-tuple-element(%arg), index=0
  %x = f32[1,64,128]{2,1,0} get-tuple-element(%arg), index=1
  %y = f32[1,128,32]{2,1,0} get-tuple-element(%arg), index=2
  %fusion = f32[1,64,32]{2,1,0} fusion(%x, %y), kind=kOutput, calls=%fused
  ROOT %next = (s32[], f32[1,64,128]{2,1,0}, f32[1,128,32]{2,1,0}) tuple(%i, %x, %y)
}

%condition (arg.1: (s32[], f32[1,64,128], f32[1,128,32])) -> pred[] {
  %arg.1 = (s32[], f32[1,64,128]{2,1,0}, f32[1,128,32]{2,1,0}) parameter(0)
  ROOT %true = pred[] constant(true)
}

ENTRY %main (t: (s32[], f32[1,64,128], f32[1,128,32])) -> f32[1,64,128] {
  %t = (s32[], f32[1,64,128]{2,1,0}, f32[1,128,32]{2,1,0}) parameter(0)
  %while = (s32[], f32[1,64,128]{2,1,0}, f32[1,128,32]{2,1,0}) while(%t), condition=%condition, \
body=%body, backend_config={"known_trip_count":{"n":"2"}}
  ROOT %out = f32[1,64,128]{2,1,0} get-tuple-element(%while), index=1
}
"""


@pytest.mark.parametrize("form", PRODUCTS)
def test_products_are_counted_in_every_round(form):
    program = Program(OF_PRODUCTS.replace("PRODUCT", PRODUCTS[form]))
    once, moved = 2 * 64 * 128 * 32, 4 * (64 * 128 + 128 * 32 + 64 * 32)
    assert (program.rounds(), program.bytes_moved()) == (2, 2 * moved)
    known = form != "unknown"
    assert program.product_flops() == (2 * once if known else None)
    # Bound by bytes, and by products.
    assert program.seconds(moved, 2 * once) == (pytest.approx(2) if known else None)
    assert program.seconds(2 * moved, once) == (pytest.approx(2) if known else None)
