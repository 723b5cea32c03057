-- Records about records, at random (seeded): three patients file, change and delete records, also in a table of versions, under each other's ids and freed ones, and
-- write Provenances of them; now and then a record is corrected and followers are refreshed. C. follow is too clever.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE fx_app;
CREATE SCHEMA fx;
GRANT USAGE ON SCHEMA fx TO fx_app;
SET search_path = fx;
SELECT smart.add_issuer('https://fx.example.org',
  '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}', '{https://fx.example.org/fhir}');
CREATE FUNCTION fx.be(patient text) RETURNS void LANGUAGE sql SECURITY DEFINER AS
$$ SELECT smart.assume(jsonb_build_object('scope', 'patient/*.cruds', 'patient', patient, 'exp', 4000000000), 'https://fx.example.org', false) $$;
CREATE FUNCTION fx.obs(id text, patient text) RETURNS jsonb LANGUAGE sql AS
$$ SELECT jsonb_build_object('resourceType', 'Observation', 'id', id, 'subject', jsonb_build_object('reference', 'Patient/' || patient)) $$;
CREATE FUNCTION fx.prov(id text, target text) RETURNS jsonb LANGUAGE sql AS
$$ SELECT jsonb_build_object('resourceType', 'Provenance', 'id', id, 'target', jsonb_build_array(jsonb_build_object('reference', 'Observation/' || target))) $$;
create table o(id text primary key, resource jsonb not null); create table h(id text, v int, resource jsonb not null, primary key(id,v)); create table pv(id text primary key, resource jsonb not null);
select smart.protect('o','Observation'), smart.protect('h','Observation'), smart.protect('pv','Provenance',follow=>'target');
grant select,insert,update,delete on o,h,pv to fx_app;
create table snap(id text primary key, p text);
do $$
declare n int; op int; me text; oid_ text; pid text; denied int := 0; moved int := 0; wrote text[]; bad record; refused boolean;
begin
  perform setseed(0.4242);
  for n in 1..500 loop
    truncate snap; insert into snap select id, smart_patient from pv;
    me := (1+floor(random()*3))::text; oid_ := 'o'||floor(random()*12); pid := 'p'||floor(random()*20); op := floor(random()*9); wrote := '{}';
    if op < 8 then
      perform fx.be(me);
      execute 'set local role fx_app';
      begin
        if op=0 then insert into o values (oid_, fx.obs(oid_, me));
        elsif op=1 then insert into h values (oid_, n, fx.obs(oid_, me));
        elsif op=2 then delete from o where id=oid_;
        elsif op=3 then delete from h where id=oid_;
        elsif op=4 then wrote := array[pid]; insert into pv values (pid, fx.prov(pid, oid_));
        elsif op=5 then wrote := array[pid]; update pv set resource = fx.prov(pid, oid_), smart_patient = me where id=pid;
        elsif op=6 then update o set resource = fx.obs(oid_, (1+floor(random()*3))::text) where id=oid_;
        else update pv set resource = resource || jsonb_build_object('recorded', n::text), smart_patient = me where id = pid; end if;
      exception when insufficient_privilege or unique_violation then denied := denied+1;
      end;
      execute 'reset role'; perform smart.logout();
      -- a patient's act changes nobody's Provenances but his own, and gives him none that he has not written about a record that was his
      for bad in select coalesce(s.id,x.id) id, s.p was, x.smart_patient now from snap s full join pv x using (id) where s.p is distinct from x.smart_patient and coalesce(s.id,x.id) <> all(wrote) loop
        raise exception 'n % op % me %: % % -> %', n, op, me, bad.id, bad.was, bad.now; end loop;
      for bad in select x.id, x.smart_patient now, s.p was from pv x left join snap s using (id) where x.id = any(wrote) and s.p is distinct from x.smart_patient and x.smart_patient is distinct from me loop
        raise exception 'n % op % me %: wrote % % -> %', n, op, me, bad.id, bad.was, bad.now; end loop;
      for bad in select x.id from pv x left join snap s using (id) where x.id = any(wrote) and x.smart_patient = me and s.p is distinct from me and not exists (select from o where 'Observation/'||o.id = x.resource#>>'{target,0,reference}' and o.resource#>>'{subject,reference}' = 'Patient/'||me) loop
        raise exception 'n % op % me %: took %', n, op, me, bad.id; end loop;
    else
      -- a correction
      update o set resource = fx.obs(oid_, me) where id = oid_ and resource#>>'{subject,reference}' <> 'Patient/'||me;
      if found then moved := moved+1;
        for bad in select id, smart_patient from pv where resource#>>'{target,0,reference}' = 'Observation/'||oid_ and smart_patient <> me loop raise exception 'n %: % still of %', n, bad.id, bad.smart_patient; end loop;
      end if;
      if random() < 0.3 then perform smart.refresh_followed('pv'); end if;
    end if;
  end loop;
  raise warning 'some were refused: %, some records moved: %', denied > 20, moved > 5;
end $$;
SELECT smart.logout();
SELECT smart.drop_issuer('https://fx.example.org');
DROP SCHEMA fx CASCADE;
DROP ROLE fx_app;
