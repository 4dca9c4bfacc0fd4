// Reads a license with two PASETO libraries from npm that nobody here wrote: `paseto`
// for all of it, `paseto-ts` for form and signature only. The latter, when it looks at
// the times, wants nbf to be later than iat, which no specification asks for.
//
//   node verify.mjs LICENSE PUBLIC_KEY [--at TIME] [--tamper N]
//       prints the claims as JSON, or says why not. TIME: ISO 8601, instead of now.
//       --tamper N alters the Nth character of the token first.
//   node verify.mjs LICENSE PUBLIC_KEY --check
//       the claims, and that it is refused outside its time, altered, by another key.
//
// Exit code: 0 it holds, 1 refused, 2 usage, 77 the libraries are not there.
import { readFileSync } from 'node:fs'
import { generateKeyPairSync } from 'node:crypto'
import { parseArgs } from 'node:util'

const BEGIN = '-----BEGIN STOPGAP LICENSE-----'
const END = '-----END STOPGAP LICENSE-----'

async function loadLibraries() {
  try {
    const { V4 } = (await import('paseto')).default
    const ts = await import('paseto-ts/v4')
    const { hash } = await import('@stablelib/blake2b')
    // iat says when it was made; from when on it holds is what nbf says.
    const timed = {
      paseto: (token, key) =>
        V4.verify(token, key, { complete: true, ignoreIat: true, audience: 'self-managed' }),
    }
    const all = {
      ...timed,
      'paseto-ts': async (token, key) => ts.verify(key, token, { validatePayload: false }),
    }
    return { timed, all, hash }
  } catch (e) {
    console.error(`SKIPPED: the PASETO libraries are not installed: ${e.message}`)
    process.exit(77)
  }
}

function tokenOf(text) {
  const lines = text.split('\n').map((line) => line.trim())
  const from = lines.indexOf(BEGIN)
  const to = lines.indexOf(END, from)
  if (from < 0 || to < 0) throw new Error('no BEGIN/END lines')
  return lines.slice(from + 1, to).join('').replace(/\s/g, '')
}

const RealDate = Date
async function atTime(ms, run) {
  globalThis.Date = class extends RealDate {
    constructor(...args) {
      super(...(args.length ? args : [ms]))
    }
    static now() {
      return ms
    }
  }
  try {
    return await run()
  } finally {
    globalThis.Date = RealDate
  }
}

// Another character there. Its first bit changes: the last ones of a base64 text may be
// padding, which stands for nothing and which libraries need not look at.
function altered(token, n) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const index = alphabet.indexOf(token[n])
  const other = index < 0 ? 'A' : alphabet[index ^ 32]
  return token.slice(0, n) + other + token.slice(n + 1)
}

// Both libraries must say the same; the claims come from the first.
async function verifyAll(verifiers, token, key, ms) {
  const results = []
  for (const [name, verify] of Object.entries(verifiers)) {
    try {
      results.push(await atTime(ms, () => verify(token, key)))
    } catch (e) {
      throw new Error(`${name}: ${e.message}`)
    }
  }
  const [first, ...others] = results.map(({ payload }) => JSON.stringify(payload))
  if (others.some((other) => other !== first)) throw new Error('the libraries disagree')
  return results[0]
}

async function mustRefuse(verifiers, what, token, key, ms) {
  for (const [name, verify] of Object.entries(verifiers)) {
    let reason
    try {
      await atTime(ms, () => verify(token, key))
    } catch (e) {
      reason = e.message
    }
    if (!reason) throw new Error(`${name} takes a license that is ${what}`)
    if (!what.startsWith('altered')) console.error(`${name}, ${what}: refused, ${reason}`)
  }
}

// The key id as PASERK has it, worked out without our code.
function keyId(hash, key) {
  const digest = hash(new TextEncoder().encode(`k4.pid.${key}`), 33)
  return `k4.pid.${Buffer.from(digest).toString('base64url')}`
}

function otherKey() {
  const { x } = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' })
  return `k4.public.${x}`
}

async function check({ timed, all, hash }, token, key) {
  const claims = JSON.parse(Buffer.from(token.split('.')[2], 'base64url').subarray(0, -64))
  const [iat, nbf, exp] = [claims.iat, claims.nbf, claims.exp].map((t) => RealDate.parse(t))
  const { payload, footer } = await verifyAll(all, token, key, iat)

  await verifyAll(all, token, key, exp - 1000)
  await verifyAll(all, token, key, nbf)
  await mustRefuse(timed, 'at its end', token, key, exp)
  await mustRefuse(timed, 'before its start', token, key, nbf - 1000)
  await mustRefuse(all, 'of another key', token, otherKey(), iat)
  for (let n = 0; n < token.length; n++)
    await mustRefuse(all, `altered at ${n}`, altered(token, n), key, iat)
  const kid = JSON.parse(footer).kid
  if (kid !== keyId(hash, key)) throw new Error(`kid ${kid} is not the key's id`)
  return payload
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    at: { type: 'string' },
    tamper: { type: 'string' },
    check: { type: 'boolean' },
  },
})
if (positionals.length !== 2 || (values.at && !RealDate.parse(values.at))) {
  console.error('usage: verify.mjs LICENSE PUBLIC_KEY [--at TIME] [--tamper N] [--check]')
  process.exit(2)
}
const libraries = await loadLibraries()
try {
  const key = readFileSync(positionals[1], 'utf8').trim()
  let token = tokenOf(readFileSync(positionals[0], 'utf8'))
  if (values.tamper) token = altered(token, Number(values.tamper))
  const now = values.at ? RealDate.parse(values.at) : RealDate.now()
  const payload = values.check
    ? await check(libraries, token, key)
    : (await verifyAll(libraries.all, token, key, now)).payload
  console.log(JSON.stringify(payload))
} catch (e) {
  console.error(`REFUSED: ${e.message}`)
  process.exit(1)
}
