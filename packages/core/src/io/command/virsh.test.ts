import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { VmdnError } from '../../domain/errors.ts';
import type { Id } from '../../domain/names.ts';
import { createVirsh, requireLibvirt } from './virsh.ts';

const domain = '4d9c8d3f-5a51-4b3f-9d26-6c1f0fd4e111' as Id;

/** A virsh that ends so, whatever it is asked; `calls` has what it was asked. */
function virshThat(end: { exitCode: number; stdout?: string; stderr?: string }) {
  const calls: (readonly string[])[] = [];
  const files: string[] = [];
  const run = async (_tool: string, args: readonly string[]) => {
    calls.push(args);
    const at = args.findIndex((arg) => arg === '--file' || arg === '--xml');
    if (at >= 0) files.push(args[at + 1]!, readFileSync(args[at + 1]!, 'utf8'));
    return { stdout: '', stderr: '', ...end };
  };
  return { virsh: createVirsh({ run }, { uri: 'qemu:///session' }), calls, files };
}

describe('virsh', () => {
  it('I2: a domain that is not there is an answer', async () => {
    const stderr = "error: failed to get domain 'x'";
    const { virsh } = virshThat({ exitCode: 1, stderr });
    expect(await virsh.dumpXml(domain)).toBeNull();
    expect(await virsh.stateReason(domain)).toBeNull();
    for (const end of [virsh.destroy, virsh.shutDown, virsh.undefine, virsh.resume]) {
      await end(domain);
    }
    await expect(virsh.userNetwork(domain)).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('I2: a libvirt that is away is unavailable, and any other failure has its words', async () => {
    const away = virshThat({
      exitCode: 1,
      stderr: "error: failed to connect to the hypervisor\nerror: Failed to connect socket to '/x'",
    });
    await expect(away.virsh.dumpXml(domain)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('start libvirtd'),
    });
    const bad = virshThat({ exitCode: 1, stderr: 'error: Cannot access storage file' });
    await expect(bad.virsh.start(domain)).rejects.toMatchObject({
      code: 'tool_failed',
      message: expect.stringContaining('Cannot access storage file'),
    });
  });

  it('is given documents by a file that is gone afterwards', async () => {
    const { virsh, files } = virshThat({ exitCode: 0 });
    await virsh.define('<domain/>');
    await virsh.copyTopLayer(domain, 'vda', '<disk/>');
    expect([files[1], files[3]]).toEqual(['<domain/>', '<disk/>']);
    expect([files[0], files[2]].map((path) => existsSync(path!))).toEqual([false, false]);
  });

  it('knows a guest whose agent does not answer, and limits one that does', async () => {
    for (const words of [
      'error: argument unsupported: QEMU guest agent is not configured',
      'error: Guest agent is not responding: QEMU guest agent is not connected',
      'error: Guest agent is not responding: Guest agent not available for now',
    ]) {
      const { virsh } = virshThat({ exitCode: 1, stderr: words });
      expect(await virsh.agentAnswers(domain)).toBe(false);
    }
    const { virsh, calls } = virshThat({ exitCode: 0 });
    expect(await virsh.agentAnswers(domain)).toBe(true);
    expect(calls[1]).toEqual(expect.arrayContaining(['guest-agent-timeout', '--timeout', '30']));
    const away = virshThat({ exitCode: 1, stderr: 'error: failed to connect to the hypervisor' });
    await expect(away.virsh.agentAnswers(domain)).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('lists ids, and nothing else that is printed', async () => {
    const { virsh } = virshThat({ exitCode: 0, stdout: `${domain}\n\n--help\n` });
    expect(await virsh.paused()).toEqual([domain]);
  });
});

describe('the check of a libvirt', () => {
  const options = { accelerator: 'tcg', emulator: '/usr/bin/qemu-system-x86_64' } as const;

  it('says what is missing', async () => {
    const version = async (): Promise<string> => 'libvirt 9.0.0';
    const requireCapable = async (): Promise<void> => {
      throw new VmdnError('tool_failed', 'virsh domcapabilities failed: invalid argument');
    };
    await expect(requireLibvirt({ version, requireCapable }, options)).rejects.toMatchObject({
      code: 'tool_missing',
      message: expect.stringContaining('libvirt-daemon-driver-qemu'),
    });
    const fine = { version, requireCapable: async () => undefined };
    expect(await requireLibvirt(fine, options)).toBe('libvirt 9.0.0');
  });
});
