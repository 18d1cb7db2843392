-- Rows of many types, a name that needs every kind of quoting, a role with a password and one that others are in.
CREATE ROLE shop LOGIN PASSWORD 'not a secret';
CREATE ROLE readers;
GRANT readers TO shop;
ALTER ROLE shop SET datestyle = 'German';
CREATE DATABASE orders OWNER shop;
\c orders
CREATE TABLE purchase (
  id serial PRIMARY KEY, what text NOT NULL, price numeric, at timestamptz DEFAULT now(), ratio float8, raw bytea
);
INSERT INTO purchase (what, price, ratio, raw)
  SELECT md5(i::text), i / 7.0, i / 3.0::float8, decode(md5(i::text), 'hex') FROM generate_series(1, 20000) i;
CREATE INDEX ON purchase (price);
CREATE TABLE "odd ""name.x%s" (a int, b text);
INSERT INTO "odd ""name.x%s" VALUES (1, NULL), (2, E'tab\tand\nline');
GRANT SELECT ON purchase TO readers;
CREATE VIEW cheap AS SELECT * FROM purchase WHERE price < 10;
SELECT lo_from_bytea(0, 'large');
