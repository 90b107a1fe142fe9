-- A wholesale trade, in the proportions decision-support benchmarks use: 600,000 items of 150,000 orders. Keys only; what else there should be is
-- for the advice to say.
CREATE TABLE regions (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE countries (id int PRIMARY KEY, region_id int NOT NULL REFERENCES regions, name text NOT NULL);
CREATE TABLE vendors (id int PRIMARY KEY, country_id int NOT NULL REFERENCES countries, name text NOT NULL, balance numeric(12,2) NOT NULL, remark text NOT NULL);
CREATE TABLE clients (id int PRIMARY KEY, country_id int NOT NULL REFERENCES countries, name text NOT NULL, segment varchar(12) NOT NULL, phone char(15) NOT NULL, balance numeric(12,2) NOT NULL);
CREATE TABLE goods (id int PRIMARY KEY, name text NOT NULL, brand varchar(10) NOT NULL, kind varchar(25) NOT NULL, size int NOT NULL, box varchar(10) NOT NULL, price numeric(12,2) NOT NULL);
CREATE TABLE stock (good_id int NOT NULL REFERENCES goods, vendor_id int NOT NULL REFERENCES vendors, amount int NOT NULL, cost numeric(12,2) NOT NULL, PRIMARY KEY (good_id, vendor_id));
CREATE TABLE orders (id int PRIMARY KEY, client_id int NOT NULL REFERENCES clients, state char(1) NOT NULL, total numeric(12,2) NOT NULL, placed date NOT NULL, urgency varchar(15) NOT NULL, clerk varchar(16) NOT NULL, remark text NOT NULL);
CREATE TABLE items (order_id int NOT NULL REFERENCES orders, line int NOT NULL, good_id int NOT NULL REFERENCES goods, vendor_id int NOT NULL REFERENCES vendors, quantity numeric(12,2) NOT NULL, price numeric(12,2) NOT NULL,
  discount numeric(4,2) NOT NULL, tax numeric(4,2) NOT NULL, returned char(1) NOT NULL, state char(1) NOT NULL, shipped date NOT NULL, due date NOT NULL, received date NOT NULL, carrier varchar(10) NOT NULL, PRIMARY KEY (order_id, line));
