/**
 * Room: origin, io. Signs that something in some folders may have changed.
 *
 * I1: it never fails: a folder that cannot be watched is looked at by the caller's timer.
 */

import { type FSWatcher, watch } from 'node:fs';

/** Watches folders as far as the system lets us; what is missed, the caller's timer sees. */
export function watchFolders(wanted: () => readonly string[], onSign: () => void): Disposable {
  const watchers = new Map<string, FSWatcher>();
  const close = (path: string): void => {
    watchers.get(path)?.close();
    watchers.delete(path);
  };
  const update = (): void => {
    const paths = wanted();
    for (const path of watchers.keys()) if (!paths.includes(path)) close(path);
    for (const path of paths) {
      if (watchers.has(path)) continue;
      try {
        const watcher = watch(path, () => {
          onSign();
          update();
        });
        watcher.on('error', () => close(path));
        watchers.set(path, watcher);
      } catch {
        // A folder that is not there yet, or no more watches to be had: the timer looks there.
      }
    }
  };
  update();
  const again = setInterval(update, 5_000);
  again.unref();
  return {
    [Symbol.dispose]() {
      clearInterval(again);
      for (const path of [...watchers.keys()]) close(path);
    },
  };
}
