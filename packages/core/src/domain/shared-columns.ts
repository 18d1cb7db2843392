/**
 * Room: domain. Columns in shared memory: threads read them in place instead of copying them.
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
