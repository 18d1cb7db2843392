/** Room: store. Settings of the network: made once, by whichever coordinator comes first. */

import type { Id } from '@vmdn/core/domain/names.ts';
import type { Db } from './database.ts';

export function settingStore(db: Db) {
  return {
    /** The value of `key`; `make` gives it when there is none yet. All coordinators get the same. */
    async getOrMake(key: string, make: () => Promise<unknown>): Promise<unknown> {
      const read = () =>
        db.selectFrom('settings').select('value').where('key', '=', key).executeTakeFirst();
      const present = await read();
      if (present !== undefined) return present.value;
      await db
        .insertInto('settings')
        .values({ key, value: JSON.stringify(await make()) })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      return (await read())?.value;
    },

    /** The project that everything belongs to until tenants come. */
    async defaultProject(): Promise<Id> {
      const row = await db
        .selectFrom('projects')
        .select('id')
        .where('name', '=', 'default' as never)
        .executeTakeFirstOrThrow();
      return row.id;
    },
  };
}
