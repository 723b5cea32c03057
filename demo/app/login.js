// demo/app/login.js: who sits before the browser: users, login sessions, and form fields signed for one session.
// A real front end asks its own directory here; the users of the demonstration have their names as passwords.
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

const minutes = 60 * 1000;
const secret = randomBytes(32);
const sessions = new Map();      // id -> {user, authTime, expires}; user null: nobody yet

export const users = {};         // name -> {sub, fhirUser, patient}; set by server.js

const digest = (text) => createHash('sha256').update(text).digest();
export function passwordFits(username, password) {
  const fits = timingSafeEqual(digest(String(password)), digest(String(username)));
  return fits && Object.hasOwn(users, username);
}

export function session(id) {
  const found = sessions.get(id);
  if (found && found.expires > Date.now()) return found;
  sessions.delete(id);
  return null;
}

// A new session: its id is new at each login, so that an id planted before is worth nothing.
export function begin(user) {
  if (sessions.size > 10000) for (const [id, s] of sessions) if (s.expires < Date.now()) sessions.delete(id);
  const id = randomBytes(24).toString('base64url');
  sessions.set(id, { id, user, authTime: user ? Math.floor(Date.now() / 1000) : null, expires: Date.now() + 8 * 60 * minutes });
  return id;
}
export const finish = (id) => sessions.delete(id);
export const cookie = (id) => `demo_session=${id}; Path=/; HttpOnly; SameSite=Lax`;

// State between two pages: in a form field, good for ten minutes and this session alone.
const mac = (payload, id) => createHmac('sha256', secret).update(`${id}.${payload}`).digest('base64url');
export function sign(state, id) {
  const payload = Buffer.from(JSON.stringify({ ...state, until: Date.now() + 10 * minutes })).toString('base64url');
  return `${payload}.${mac(payload, id)}`;
}
export function open(field, id) {
  const [payload, tag] = String(field ?? '').split('.');
  if (!payload || !tag || !id || !timingSafeEqual(digest(tag), digest(mac(payload, id)))) return null;
  const state = JSON.parse(Buffer.from(payload, 'base64url').toString());
  return state.until > Date.now() ? state : null;
}
