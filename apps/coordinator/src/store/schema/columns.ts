/** Room: store, schema. Column types that several tables share. */

import type { ColumnType, Generated } from 'kysely';

/** Set by the database, or by SQL that uses its clock. */
export type Timestamp = ColumnType<Date, Date | string | undefined, Date | string>;
export type NullableTimestamp = ColumnType<
  Date | null,
  Date | string | null | undefined,
  Date | string | null
>;
/** JSON goes in as text, so that arrays are not taken for PostgreSQL arrays. */
export type Json<T> = ColumnType<T, string, string>;
export type NullableJson<T> = ColumnType<T | null, string | null | undefined, string | null>;
export type GeneratedJson<T> = ColumnType<T, string | undefined, string>;
export type GeneratedId<T> = Generated<T>;
