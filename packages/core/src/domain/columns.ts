/**
 * Room: domain. The memory of large columns: shared, so that threads read them in place instead of copying
 * them, and given back when nobody needs it, instead of whenever a collection finds it.
 */

type Column = Uint8Array | Uint16Array | Uint32Array;
interface ColumnType<C extends Column> {
  new (buffer: SharedArrayBuffer): C;
  readonly BYTES_PER_ELEMENT: number;
}

/** A column in shared memory. */
export function shared<C extends Column>(type: ColumnType<C>, length: number): C {
  return new type(new SharedArrayBuffer(length * type.BYTES_PER_ELEMENT));
}

/** A copy of a column in shared memory. */
export function copyShared<C extends Column>(type: ColumnType<C>, column: C): C {
  const copy = shared(type, column.length);
  copy.set(column);
  return copy;
}

/** Frees the memory of a column that has it alone. All views of it are empty afterwards. */
export function giveBack({ buffer }: ArrayBufferView): void {
  if (buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0);
}
