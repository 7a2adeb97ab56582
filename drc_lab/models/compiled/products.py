"""The innermost loops of convolutions and of their gradients, and rounding to bfloat16."""

from functools import reduce

from llvmlite import ir

from drc_lab.models.compiled.emit import INT16, INT32, INT64, Code, Loop, intrinsic, without_result

SUMS_UNDER_WAY = 10  # independent sums that a CPU needs to add to in turn, so as not to wait for earlier results


@intrinsic(prefer_literal=True)
def conv_row(
    typingctx, width, rows, vectors, lanes, kernel_size, kind, out, out_row, init, init_row, x, x_row, ups, D, w, w_row
):
    """Computes ``vectors`` x ``lanes`` features of a convolution for a row of ``width`` cells.

    Taps that fall outside of the row are skipped: nothing is read or computed for them.

    Args:
        width: cells in a row.
        rows: cells whose sums are in registers at a time.
        vectors, lanes: see above.
        kernel_size: k of the convolution, an odd number.
        kind: kind of inputs and weights, see `Code.add_product`; a pair consists of consecutive inputs and counts as
            one input.
        out, out_row: address of the first cell's first output feature, float32, and stride to the next cell.
        init, init_row: the same for the initial values of the sums; may be the same memory as ``out``.
        x, x_row: address of the first cell's D inputs in the uppermost row that is read, and stride to the next cell.
        ups: number of consecutive rows that are read, at least 1.
        D: number of inputs per cell.
        w, w_row: address of the weights of the first input of the first tap in the uppermost row, and stride to the
            next input; the taps follow one another.
    """
    W, R, V, L, k, number_kind = (n.literal_value for n in (width, rows, vectors, lanes, kernel_size, kind))
    before = (k - 1) // 2

    def write(b, out, out_row, init, init_row, x, x_row, ups, D, w, w_row):
        code = Code(b, L)
        zero, tap_stride, x_up = code.const(0), b.mul(D, w_row), b.mul(x_row, INT64(W))
        for start in range(0, W, R):
            cells = range(start, min(start + R, W))
            pairs = [(cell, tap) for tap in range(-before, k - before) for cell in cells if 0 <= cell + tap < W]
            sum_per_tap = len(cells) * V < SUMS_UNDER_WAY  # so that no addition waits for another
            order = [(cell, tap, j) for cell, tap in pairs for j in range(V)]
            if (
                len(cells) + k - 1 > V * k
            ):  # fewer weights than inputs: go input by input, with all weights in registers
                order.sort(key=lambda each: each[0] + each[1])
            keys = list(dict.fromkeys((cell, sum_per_tap * tap, j) for cell, tap, j in order))

            def place(base, row, cell, j):
                return code.plus(code.step(base, row, cell), 4 * L * j)

            sums = [code.load(place(init, init_row, cell, j)) if tap == 0 else zero for cell, tap, j in keys]
            with Loop(code, ups, [w, x, *sums]) as kernel_row:
                with Loop(code, D, kernel_row.values) as feature:
                    at, here, *sums = feature.values
                    total = dict(zip(keys, sums, strict=True))
                    for cell, tap, j in order:  # LLVM merges repeated loads
                        value = code.spread(place(here, x_row, cell + tap, 0))
                        weight = code.load(code.plus(code.step(at, tap_stride, tap + before), 4 * L * j))
                        key = cell, sum_per_tap * tap, j
                        total[key] = code.add_product(number_kind, value, weight, total[key])
                    feature.after = [
                        code.plus(at, w_row),
                        code.plus(here, 4),
                        *total.values(),
                    ]  # 4: one float, or one pair
                row = b.mul(tap_stride, INT64(k))
                kernel_row.after = [
                    code.plus(kernel_row.values[0], row),
                    code.plus(kernel_row.values[1], x_up),
                    *feature.after[2:],
                ]
            total = dict(zip(keys, kernel_row.after[2:], strict=True))
            for cell in cells:
                for j in range(V):
                    of_taps = [total[key] for key in keys if (key[0], key[2]) == (cell, j)]
                    code.store(reduce(code.add, of_taps), place(out, out_row, cell, j))

    sizes, numbers = (width, rows, vectors, lanes, kernel_size, kind), (out, out_row, init, init_row, x, x_row, ups, D)
    return without_result(sizes, (*numbers, w, w_row), write)


@intrinsic(prefer_literal=True)
def round_row(typingctx, lanes, x, out):
    """Rounds ``lanes`` floats to bfloat16, to nearest with ties to even; NaN stays NaN."""
    L = lanes.literal_value

    def write(b, x, out):
        code = Code(b, L)
        words, value = ir.VectorType(INT32, L), code.load(x)
        bits = b.bitcast(value, words)

        def of(number: int) -> ir.Value:
            return ir.Constant(words, [number] * L)

        odd = b.and_(b.lshr(bits, of(16)), of(1))
        nearest = b.add(bits, b.add(odd, of(0x7FFF)))
        quiet = b.or_(bits, of(0x00400000))  # sets a mantissa bit that survives truncation, so that NaN stays NaN
        rounded = b.select(b.fcmp_unordered("uno", value, value), quiet, nearest)
        halves = b.trunc(b.lshr(rounded, of(16)), ir.VectorType(INT16, L))
        b.store(halves, code.at(out, halves.type)).align = 2

    return without_result((lanes,), (x, out), write)


@intrinsic(prefer_literal=True)
def outer_tile(typingctx, rows, vectors, lanes, out, out_row, x, x_row, x_up, z, z_row, z_up, cells, ups):
    """Adds to ``out`` the outer products of ``rows`` features of x and ``vectors`` x ``lanes`` of z, summed over cells.

    Args:
        rows, vectors, lanes: see above.
        out, out_row: address of the result for the first feature of x and of z, float32, and stride to the next
            feature of x.
        x, x_row, x_up: address of the first cell's features, strides to the next cell and to the next row of the board.
        z, z_row, z_up: the same for z.
        cells, ups: number of cells in a row, and of rows.
    """
    R, V, L = (n.literal_value for n in (rows, vectors, lanes))

    def write(b, out, out_row, x, x_row, x_up, z, z_row, z_up, cells, ups):
        code = Code(b, L)
        places = [code.plus(code.step(out, out_row, i), 4 * L * j) for i in range(R) for j in range(V)]
        with Loop(code, ups, [x, z, *(code.load(place) for place in places)]) as up:
            with Loop(code, cells, up.values) as cell:
                of_x, of_z, *sums = cell.values
                inputs = [code.spread(code.plus(of_x, 4 * i)) for i in range(R)]
                others = [code.load(code.plus(of_z, 4 * L * j)) for j in range(V)]
                sums = [code.fma(inputs[n // V], others[n % V], total) for n, total in enumerate(sums)]
                cell.after = [code.plus(of_x, x_row), code.plus(of_z, z_row), *sums]
            up.after = [code.plus(up.values[0], x_up), code.plus(up.values[1], z_up), *cell.after[2:]]
        for place, total in zip(places, up.after[2:], strict=True):
            code.store(total, place)

    return without_result((rows, vectors, lanes), (out, out_row, x, x_row, x_up, z, z_row, z_up, cells, ups), write)
