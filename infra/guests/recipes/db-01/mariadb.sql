-- Tables of both engines, columns of many types, names that need quoting, users with a password and with a role.
CREATE USER 'clerk'@'%' IDENTIFIED BY 'not a secret';
CREATE ROLE readers;
CREATE DATABASE orders CHARACTER SET utf8mb4;
USE orders;
CREATE TABLE product (id int PRIMARY KEY, name varchar(100) NOT NULL);
CREATE TABLE purchase (
  id int PRIMARY KEY AUTO_INCREMENT, product int NOT NULL, price decimal(10, 2),
  FOREIGN KEY (product) REFERENCES product (id)
);
INSERT INTO product SELECT seq, md5(seq) FROM seq_1_to_500;
INSERT INTO purchase (product, price) SELECT 1 + seq % 500, seq / 7 FROM seq_1_to_20000;
CREATE VIEW cheap AS SELECT * FROM purchase WHERE price < 10;
CREATE TRIGGER checked BEFORE INSERT ON purchase FOR EACH ROW SET NEW.price = abs(NEW.price);
CREATE PROCEDURE total() SELECT sum(price) FROM purchase;
CREATE EVENT sweep ON SCHEDULE EVERY 1 DAY DO DELETE FROM purchase WHERE price > 1000000;
CREATE SEQUENCE numbers START WITH 5;
SELECT nextval(numbers);
GRANT SELECT ON orders.* TO readers;
GRANT readers TO 'clerk'@'%';
GRANT UPDATE (price) ON orders.purchase TO 'clerk'@'%';
CREATE DATABASE `odd ``name`;
USE `odd ``name`;
CREATE TABLE `it's` (
  a int PRIMARY KEY, b blob, c double, d datetime(6), e timestamp(3) NULL, f enum('x', 'ü'),
  g int AS (a * 2) VIRTUAL, h int AS (a * 3) STORED
) ENGINE = MyISAM;
INSERT INTO `it's` (a, b, c, d, e, f) VALUES
  (1, unhex('00ff0a27'), 0.1, '2020-01-01 00:00:00.123456', '2020-06-01 12:00:00.5', 'ü'),
  (2, NULL, 1e300, NULL, NULL, NULL);
CREATE TABLE zip (a int, b text) ROW_FORMAT = COMPRESSED;
INSERT INTO zip VALUES (1, repeat('y', 9000));
