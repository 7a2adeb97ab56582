"""The gates of a ConvLSTM and their gradient, for the channels of one cell that fit into a vector."""

from llvmlite import ir

from drc_lab.models.compiled.emit import INT32, Code, intrinsic, without_result


@intrinsic(prefer_literal=True)
def gates_forward(typingctx, lanes, sigmoid_output, save, gate, z, inject, c, c_new, h, kept, total, peak, where, cell):
    """Computes ``lanes`` channels of the new cell and hidden state of one cell of the board from its pre-activations.

    Args:
        lanes: see above.
        sigmoid_output: whether the output gate is a sigmoid instead of a tanh.
        save: whether the gates are stored at ``kept``.
        gate: stride from one gate to the next, in the order i, f, g, o.
        z, inject: addresses of the pre-activations and of what is added to them.
        c, c_new, h: addresses of the cell state before and after, which may be the same, and of the new hidden state.
        kept: address where the gates are stored.
        total, peak, where: addresses of the running sum and maximum of h over the board, and of the maximum's cell
            (int32); they are updated.
        cell: index of this cell.
    """
    L, sigmoid, saved = (n.literal_value for n in (lanes, sigmoid_output, save))

    def write(b, gate, z, inject, c, c_new, h, kept, total, peak, where, cell):
        code = Code(b, L)
        half = code.const(0.5)
        before = [code.add(*(code.load(code.step(at, gate, n)) for at in (z, inject))) for n in range(4)]
        halved = (True, True, False, sigmoid)  # sigmoid(x) = 1/2 + tanh(x / 2) / 2
        gates = code.tanh(*(code.mul(half, x) if is_half else x for x, is_half in zip(before, halved, strict=True)))
        i, f, g, o = (code.fma(half, x, half) if is_half else x for x, is_half in zip(gates, halved, strict=True))
        state = code.fma(f, code.load(c), code.mul(i, g))
        hidden = code.mul(o, *code.tanh(state))
        code.store(state, c_new)
        code.store(hidden, h)
        if saved:
            for n, value in enumerate((i, f, g, o)):
                code.store(value, code.step(kept, gate, n))
        code.store(code.add(code.load(total), hidden), total)
        most = code.load(peak)
        higher = b.fcmp_ordered(">", hidden, most)
        code.store(b.select(higher, hidden, most), peak)
        here = code.fill(b.trunc(cell, INT32))
        code.store(b.select(higher, here, code.load(where, ir.VectorType(INT32, L))), where)

    numbers = gate, z, inject, c, c_new, h, kept, total, peak, where, cell
    return without_result((lanes, sigmoid_output, save), numbers, write)


@intrinsic(prefer_literal=True)
def gates_backward(typingctx, lanes, sigmoid_output, gate, kept, c, c_new, dh, dc, keep, dz, d_drive, d_inject):
    """Backward pass of `gates_forward`: the gradient of the pre-activations from those of h and c.

    Args:
        lanes, sigmoid_output: as in `gates_forward`.
        gate: stride from one gate to the next, in the order i, f, g, o.
        kept: address of the stored gates.
        c, c_new: addresses of the cell state before and after.
        dh, dc: addresses of the gradients of h and c; the gradient of the previous cell state overwrites the second.
        keep: float32, 0 where the episode begins with this tick, else 1.
        dz: address where the gradient of the pre-activations is written.
        d_drive, d_inject: addresses of sums that this gradient is added to.
    """
    L, sigmoid = (n.literal_value for n in (lanes, sigmoid_output))

    def write(b, gate, kept, c, c_new, dh, dc, keep, dz, d_drive, d_inject):
        code = Code(b, L)
        stays = code.fill(keep)
        i, f, g, o = (code.load(code.step(kept, gate, n)) for n in range(4))
        (tanh_c,), of_h = code.tanh(code.load(c_new)), code.load(dh)
        of_c = code.fma(code.mul(of_h, o), code.one_minus(code.mul(tanh_c, tanh_c)), code.load(dc))
        code.store(code.mul(of_c, f, stays), dc)
        slope = code.mul(o, code.one_minus(o)) if sigmoid else code.one_minus(code.mul(o, o))
        gradients = (
            code.mul(of_c, g, i, code.one_minus(i)),
            code.mul(of_c, code.load(c), stays, f, code.one_minus(f)),
            code.mul(of_c, i, code.one_minus(code.mul(g, g))),
            code.mul(of_h, tanh_c, slope),
        )
        for n, gradient in enumerate(gradients):
            code.store(gradient, code.step(dz, gate, n))
            for place in (d_drive, d_inject):
                there = code.step(place, gate, n)
                code.store(code.add(code.load(there), gradient), there)

    return without_result((lanes, sigmoid_output), (gate, kept, c, c_new, dh, dc, keep, dz, d_drive, d_inject), write)
