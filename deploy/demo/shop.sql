-- The demo's client database: an online shop that has grown for a while. About 134,000 rows, made by arithmetic alone, so every
-- load gives the same data, of the year before 2026-06-28 or, where the setting demo.today has a date, before that. Needs an empty database
-- and the right to create a schema in it; loads in seconds.
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE SCHEMA shop;
COMMENT ON SCHEMA shop IS 'Online shop: catalogue, customers, orders and everything that happens to an order';
SET LOCAL search_path = shop, pg_catalog;
SET LOCAL timezone = 'UTC';
-- A day of the story, which ends on 2026-06-28, moved so that it ends when demo.today says.
CREATE FUNCTION pg_temp.day(told date) RETURNS timestamptz LANGUAGE sql STABLE
  RETURN told + (coalesce(nullif(current_setting('demo.today', true), '')::date, date '2026-06-28') - date '2026-06-28');

CREATE TYPE order_status AS ENUM ('draft', 'placed', 'paid', 'packed', 'shipped', 'delivered', 'cancelled', 'returned');
COMMENT ON TYPE order_status IS 'Life of an order; revenue counts from paid on, except cancelled and returned';
CREATE TYPE payment_method AS ENUM ('card', 'paypal', 'invoice', 'bank_transfer', 'gift_card');
CREATE TYPE ticket_priority AS ENUM ('low', 'normal', 'high', 'urgent');
CREATE DOMAIN money_amount AS numeric(12, 2) CHECK (VALUE >= 0);
COMMENT ON DOMAIN money_amount IS 'Euros, never negative';
CREATE DOMAIN email_address AS text CHECK (VALUE ~ '^[^@\s]+@[^@\s]+\.[^@\s]+$');

-- Where we sell and ship from -----------------------------------------------------------------------------------------------
CREATE TABLE regions (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  code text NOT NULL UNIQUE CHECK (code ~ '^[A-Z]{2,4}$'),
  name text NOT NULL
);
COMMENT ON TABLE regions IS 'Sales regions; every customer and warehouse belongs to one';

CREATE TABLE warehouses (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  region_id integer NOT NULL REFERENCES regions,
  name text NOT NULL UNIQUE,
  capacity integer NOT NULL CHECK (capacity > 0)
);

CREATE TABLE employees (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  manager_id bigint REFERENCES employees ON DELETE SET NULL,
  warehouse_id integer REFERENCES warehouses ON DELETE SET NULL,
  full_name text NOT NULL,
  job_title text NOT NULL,
  hired_on date NOT NULL,
  salary money_amount NOT NULL
);
COMMENT ON COLUMN employees.manager_id IS 'Line manager; NULL for the managing director';

-- Catalogue -----------------------------------------------------------------------------------------------------------------
CREATE TABLE categories (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  parent_id integer REFERENCES categories ON DELETE CASCADE,
  name text NOT NULL,
  slug text NOT NULL UNIQUE,
  CHECK (parent_id <> id)
);
COMMENT ON TABLE categories IS 'Tree of product categories; top-level categories have no parent';

CREATE TABLE suppliers (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  country_code char(2) NOT NULL,
  contact_email email_address,
  lead_time_days integer NOT NULL DEFAULT 7
);
COMMENT ON COLUMN suppliers.lead_time_days IS 'Calendar days from our purchase order to goods received';

CREATE TABLE products (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  category_id integer NOT NULL REFERENCES categories ON DELETE RESTRICT,
  supplier_id integer REFERENCES suppliers ON DELETE SET NULL,
  sku text NOT NULL UNIQUE,
  legacy_sku text,
  name text NOT NULL,
  description text NOT NULL DEFAULT '',
  price money_amount NOT NULL,
  cost money_amount NOT NULL,
  margin numeric GENERATED ALWAYS AS (price - cost) STORED,
  attributes jsonb NOT NULL DEFAULT '{}',
  discontinued boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE products IS 'What we sell; discontinued products stay for old orders';
COMMENT ON COLUMN products.price IS 'Current list price in euros including VAT; what a customer paid is on the order item';
COMMENT ON COLUMN products.margin IS 'List price minus purchase cost, in euros';
COMMENT ON COLUMN products.legacy_sku IS 'Number in the system before 2024; no longer written';

CREATE TABLE tags (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE
);

CREATE TABLE product_tags (
  product_id bigint NOT NULL REFERENCES products ON DELETE CASCADE,
  tag_id integer NOT NULL REFERENCES tags ON DELETE CASCADE,
  PRIMARY KEY (product_id, tag_id)
);
COMMENT ON TABLE product_tags IS 'Which product carries which tag';

CREATE TABLE inventory (
  warehouse_id integer NOT NULL REFERENCES warehouses ON DELETE CASCADE,
  product_id bigint NOT NULL REFERENCES products ON DELETE CASCADE,
  quantity integer NOT NULL CHECK (quantity >= 0),
  reorder_level integer NOT NULL DEFAULT 10,
  counted_at timestamptz,
  PRIMARY KEY (warehouse_id, product_id)
);
COMMENT ON TABLE inventory IS 'Stock on hand per warehouse and product; below reorder_level we buy again';

-- Customers: they have addresses, and one of these is their default (a cycle of foreign keys) ------------------------------------
CREATE TABLE customers (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  region_id integer NOT NULL REFERENCES regions,
  default_address_id bigint,
  full_name text NOT NULL,
  email email_address NOT NULL,
  phone text,
  loyalty_points integer NOT NULL DEFAULT 0 CHECK (loyalty_points >= 0),
  newsletter boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL,
  deleted_at timestamptz
);
COMMENT ON TABLE customers IS 'People who registered; deleted_at marks those who left (rows are kept for the books)';
COMMENT ON COLUMN customers.newsletter IS 'Gave consent to receive the newsletter';

CREATE TABLE addresses (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer_id bigint NOT NULL REFERENCES customers ON DELETE CASCADE,
  street text NOT NULL,
  postal_code text NOT NULL,
  city text NOT NULL,
  country_code char(2) NOT NULL DEFAULT 'DE'
);

-- Orders --------------------------------------------------------------------------------------------------------------------
CREATE TABLE coupons (
  code text PRIMARY KEY,
  percent_off integer NOT NULL CHECK (percent_off BETWEEN 1 AND 90),
  valid daterange NOT NULL
);
COMMENT ON COLUMN coupons.valid IS 'Days on which the coupon may be redeemed';

CREATE TABLE orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer_id bigint NOT NULL REFERENCES customers ON DELETE RESTRICT,
  shipping_address_id bigint REFERENCES addresses ON DELETE SET NULL,
  coupon_code text REFERENCES coupons ON DELETE SET NULL ON UPDATE CASCADE,
  status order_status NOT NULL DEFAULT 'draft',
  total money_amount NOT NULL DEFAULT 0,
  note text,
  placed_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE orders IS 'One row per checkout; drafts are open baskets and count nowhere';
COMMENT ON COLUMN orders.total IS 'What the customer owes in euros, after coupons, including VAT';
COMMENT ON COLUMN orders.placed_at IS 'When the customer pressed "buy"; months in reports go by this';

CREATE TABLE order_items (
  order_id bigint NOT NULL REFERENCES orders ON DELETE CASCADE,
  line_no smallint NOT NULL,
  product_id bigint NOT NULL REFERENCES products ON DELETE RESTRICT,
  quantity integer NOT NULL CHECK (quantity > 0),
  unit_price money_amount NOT NULL,
  line_total numeric GENERATED ALWAYS AS (quantity * unit_price) STORED,
  PRIMARY KEY (order_id, line_no)
);
COMMENT ON COLUMN order_items.unit_price IS 'Price per piece at the time of the order';

CREATE TABLE payments (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  order_id bigint NOT NULL REFERENCES orders ON DELETE CASCADE,
  refund_of bigint REFERENCES payments,
  method payment_method NOT NULL,
  amount money_amount NOT NULL,
  paid_at timestamptz NOT NULL
);
COMMENT ON COLUMN payments.refund_of IS 'Set when this row pays back an earlier payment';

CREATE TABLE shipments (
  id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  order_id bigint NOT NULL REFERENCES orders ON DELETE CASCADE,
  warehouse_id integer NOT NULL REFERENCES warehouses,
  carrier text NOT NULL,
  tracking_code text UNIQUE,
  shipped_at timestamptz NOT NULL,
  delivered_at timestamptz,
  CHECK (delivered_at >= shipped_at)
);

CREATE TABLE order_status_history (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  order_id bigint NOT NULL REFERENCES orders ON DELETE CASCADE,
  old_status order_status,
  new_status order_status NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE order_status_history IS 'Written by a trigger whenever an order changes its status';

-- After the sale ------------------------------------------------------------------------------------------------------------
CREATE TABLE reviews (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  product_id bigint NOT NULL REFERENCES products ON DELETE CASCADE,
  customer_id bigint REFERENCES customers ON DELETE SET NULL,
  rating smallint NOT NULL CHECK (rating BETWEEN 1 AND 5),
  title text NOT NULL DEFAULT '',
  body text NOT NULL DEFAULT '',
  published boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL
);
COMMENT ON COLUMN reviews.rating IS 'Stars, 1 (bad) to 5 (good)';

CREATE TABLE support_tickets (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer_id bigint NOT NULL REFERENCES customers ON DELETE CASCADE,
  order_id bigint REFERENCES orders ON DELETE SET NULL,
  assignee_id bigint REFERENCES employees ON DELETE SET NULL,
  priority ticket_priority NOT NULL DEFAULT 'normal',
  subject text NOT NULL,
  opened_at timestamptz NOT NULL,
  closed_at timestamptz
);

CREATE TABLE page_views (
  id bigint GENERATED ALWAYS AS IDENTITY,
  viewed_at timestamptz NOT NULL,
  customer_id bigint REFERENCES customers ON DELETE CASCADE,
  product_id bigint,
  path text NOT NULL,
  duration_ms integer,
  PRIMARY KEY (viewed_at, id)
) PARTITION BY RANGE (viewed_at);
COMMENT ON TABLE page_views IS 'Clicks in the web shop, one partition per month (UTC)';
DO $$
BEGIN
  FOR back IN REVERSE 5..0 LOOP
    EXECUTE format('CREATE TABLE %I PARTITION OF page_views FOR VALUES FROM (%L) TO (%L)', 'page_views_' || to_char(month, 'YYYY_MM'), month, month + interval '1 month')
    FROM (SELECT date_trunc('month', pg_temp.day('2026-06-28'), 'UTC') - back * interval '1 month' AS month) m;
  END LOOP;
END $$;
CREATE TABLE page_views_default PARTITION OF page_views DEFAULT;

-- Rows ----------------------------------------------------------------------------------------------------------------------
-- A number below `bound` that looks arbitrary and is always the same for the same n and salt.
CREATE FUNCTION pg_temp.pick(n bigint, salt integer, bound integer) RETURNS integer LANGUAGE sql IMMUTABLE
  RETURN (((n + salt * 7919) * 2654435761 % 4294967291) * 48271 % 2147483647 % bound)::integer;

INSERT INTO regions (code, name) VALUES ('DACH', 'Germany, Austria, Switzerland'), ('BNLX', 'Benelux'), ('NORD', 'Nordics'), ('IBER', 'Iberia'), ('FR', 'France'), ('UK', 'United Kingdom');
INSERT INTO warehouses (region_id, name, capacity) VALUES (1, 'Leipzig', 60000), (2, 'Venlo', 45000), (3, 'Malmö', 20000);
INSERT INTO employees (manager_id, warehouse_id, full_name, job_title, hired_on, salary)
SELECT CASE WHEN n > 1 THEN (n + 6) / 8 END, CASE WHEN n > 10 THEN 1 + n % 3 END, format('Employee %s', n),
  CASE WHEN n = 1 THEN 'Managing Director' WHEN n < 10 THEN 'Team Lead' ELSE (ARRAY['Picker', 'Packer', 'Support Agent', 'Buyer'])[1 + n % 4] END,
  date '2018-01-01' + pg_temp.pick(n, 1, 2500), 32000 + 500 * pg_temp.pick(n, 2, 80)
FROM generate_series(1, 60) n;
INSERT INTO categories (parent_id, name, slug)
SELECT CASE WHEN n > 6 THEN 1 + n % 6 END, (ARRAY['Kitchen', 'Garden', 'Books', 'Audio', 'Sport', 'Toys'])[1 + n % 6] || CASE WHEN n > 6 THEN ' ' || n ELSE '' END, 'category-' || n
FROM generate_series(1, 36) n;
INSERT INTO suppliers (name, country_code, contact_email, lead_time_days)
SELECT 'Supplier ' || n, (ARRAY['DE', 'NL', 'SE', 'CN', 'PL'])[1 + n % 5], CASE WHEN n % 7 > 0 THEN format('sales@supplier%s.example', n) END, 3 + pg_temp.pick(n, 3, 40)
FROM generate_series(1, 40) n;
INSERT INTO products (category_id, supplier_id, sku, legacy_sku, name, description, price, cost, attributes, discontinued, created_at)
SELECT 7 + pg_temp.pick(n, 4, 30), 1 + pg_temp.pick(n, 5, 40), 'SKU-' || lpad(n::text, 6, '0'), CASE WHEN n < 300 THEN 'OLD' || n END,
  (ARRAY['Classic', 'Compact', 'Deluxe', 'Smart', 'Eco'])[1 + n % 5] || ' ' || (ARRAY['Kettle', 'Rake', 'Atlas', 'Speaker', 'Racket', 'Puzzle', 'Lamp'])[1 + n % 7] || ' ' || n,
  repeat('Well made and easy to use. ', 1 + n % 4), 5 + pg_temp.pick(n, 6, 29500) / 100.0, 2 + pg_temp.pick(n, 6, 29500) / 180.0,
  jsonb_build_object('colour', (ARRAY['red', 'blue', 'black', 'white'])[1 + n % 4], 'weight_g', 50 + pg_temp.pick(n, 7, 5000)), n % 23 = 0,
  pg_temp.day('2024-01-01') + pg_temp.pick(n, 8, 500) * interval '1 day'
FROM generate_series(1, 800) n;
INSERT INTO tags (name) VALUES ('new'), ('sale'), ('bestseller'), ('gift'), ('fragile'), ('bulky'), ('organic'), ('handmade');
INSERT INTO product_tags SELECT p.id, t FROM products p, generate_series(1, 8) t WHERE pg_temp.pick(p.id, t, 4) = 0;
INSERT INTO inventory SELECT w, p.id, pg_temp.pick(p.id, w, 400), 10 + p.id % 30, pg_temp.day('2026-06-01') + p.id * interval '1 minute' FROM products p, generate_series(1, 3) w;
INSERT INTO customers (region_id, full_name, email, phone, loyalty_points, newsletter, created_at, deleted_at)
SELECT 1 + pg_temp.pick(n, 9, 6), format('Customer %s', n), format('customer%s@mail.example', n), CASE WHEN n % 11 > 0 THEN '+49 30 ' || (1000000 + n) END,
  pg_temp.pick(n, 10, 2000), n % 3 = 0, pg_temp.day('2024-06-01') + pg_temp.pick(n, 11, 500) * interval '1 day', CASE WHEN n % 97 = 0 THEN pg_temp.day('2026-05-01') END
FROM generate_series(1, 5000) n;
INSERT INTO addresses (customer_id, street, postal_code, city, country_code)
SELECT 1 + (n - 1) % 5000, format('Street %s', 1 + pg_temp.pick(n, 12, 900)), lpad(pg_temp.pick(n, 13, 99999)::text, 5, '0'),
  (ARRAY['Berlin', 'Hamburg', 'Wien', 'Zürich', 'Utrecht', 'Oslo', 'Porto', 'Lyon'])[1 + n % 8], (ARRAY['DE', 'DE', 'AT', 'CH', 'NL', 'NO', 'PT', 'FR'])[1 + n % 8]
FROM generate_series(1, 6000) n;
UPDATE customers SET default_address_id = id WHERE id % 13 > 0;
INSERT INTO coupons SELECT 'SAVE' || n, 5 * n, daterange(pg_temp.day('2025-07-01')::date + 30 * n, pg_temp.day('2025-07-01')::date + 30 * n + 45) FROM generate_series(1, 10) n;
-- What was ordered in the last days is not on its way yet, and nothing of the last weeks came back.
INSERT INTO orders (customer_id, shipping_address_id, coupon_code, status, note, placed_at, updated_at)
SELECT c, c, CASE WHEN n % 19 = 0 THEN 'SAVE' || 1 + n % 10 END,
  (ARRAY['draft', 'placed', 'paid', 'packed', 'shipped', 'delivered', 'delivered', 'delivered', 'delivered', 'cancelled', 'returned', 'delivered'])[1 + pg_temp.pick(n, 14, CASE WHEN n > 19780 THEN 4 WHEN n > 19200 THEN 10 ELSE 12 END)]::order_status,
  CASE WHEN n % 40 = 0 THEN 'Please ring twice' END, at, at + interval '2 days'
FROM (SELECT n, 1 + pg_temp.pick(n, 15, 5000) AS c, pg_temp.day('2025-07-01') + n * interval '26 minutes' AS at FROM generate_series(1, 20000) n) made;
INSERT INTO order_items (order_id, line_no, product_id, quantity, unit_price)
SELECT o.id, l, p.id, 1 + pg_temp.pick(o.id, l + 20, 3), p.price
FROM orders o CROSS JOIN generate_series(1, 4) l JOIN products p ON p.id = 1 + pg_temp.pick(o.id * 4 + l, 16, 800)
WHERE l <= 1 + pg_temp.pick(o.id, 17, 3);
UPDATE orders o SET total = round(s.total * (100 - coalesce(c.percent_off, 0)) / 100, 2)
FROM (SELECT order_id, sum(line_total) AS total FROM order_items GROUP BY order_id) s, orders o2 LEFT JOIN coupons c ON c.code = o2.coupon_code
WHERE s.order_id = o.id AND o2.id = o.id;
INSERT INTO payments (order_id, method, amount, paid_at)
SELECT id, (ARRAY['card', 'paypal', 'invoice', 'bank_transfer', 'gift_card'])[1 + pg_temp.pick(id, 18, 5)]::payment_method, total, placed_at + interval '1 hour'
FROM orders WHERE status NOT IN ('draft', 'placed', 'cancelled');
INSERT INTO payments (order_id, refund_of, method, amount, paid_at)
SELECT p.order_id, p.id, p.method, p.amount, p.paid_at + interval '14 days' FROM payments p JOIN orders o ON o.id = p.order_id WHERE o.status = 'returned';
INSERT INTO shipments (order_id, warehouse_id, carrier, tracking_code, shipped_at, delivered_at)
SELECT id, 1 + pg_temp.pick(id, 19, 3), (ARRAY['DHL', 'PostNL', 'UPS'])[1 + id % 3], 'T' || lpad(id::text, 9, '0'), placed_at + interval '1 day', CASE WHEN status <> 'shipped' THEN placed_at + interval '3 days' END
FROM orders WHERE status IN ('shipped', 'delivered', 'returned');
INSERT INTO order_status_history (order_id, old_status, new_status, changed_at) SELECT id, 'draft', status, placed_at FROM orders WHERE status <> 'draft' AND id % 2 = 0;
INSERT INTO reviews (product_id, customer_id, rating, title, body, published, created_at)
SELECT 1 + pg_temp.pick(n, 21, 800), CASE WHEN n % 29 > 0 THEN 1 + pg_temp.pick(n, 22, 5000) END, 5 - pg_temp.pick(n, 23, 25) / 6, 'Review ' || n, repeat('Does what it should. ', 1 + n % 5), n % 8 > 0,
  pg_temp.day('2025-07-10') + pg_temp.pick(n, 24, 350) * interval '1 day'
FROM generate_series(1, 4000) n;
INSERT INTO support_tickets (customer_id, order_id, assignee_id, priority, subject, opened_at, closed_at)
SELECT o.customer_id, o.id, 10 + o.id % 50, (ARRAY['low', 'normal', 'normal', 'high', 'urgent'])[1 + o.id % 5]::ticket_priority,
  (ARRAY['Where is my parcel?', 'Wrong item', 'Refund please', 'Invoice copy'])[1 + o.id % 4], o.placed_at + interval '4 days', CASE WHEN o.id % 9 > 0 THEN o.placed_at + interval '6 days' END
FROM orders o WHERE o.id % 13 = 0 AND o.id < 19600;
INSERT INTO page_views (viewed_at, customer_id, product_id, path, duration_ms)
SELECT pg_temp.day('2025-12-01') + n * interval '20 minutes', CASE WHEN n % 3 > 0 THEN 1 + pg_temp.pick(n, 25, 5000) END, 1 + pg_temp.pick(n, 26, 800),
  '/product/' || 1 + pg_temp.pick(n, 26, 800), 200 + pg_temp.pick(n, 27, 60000)
FROM generate_series(1, 15000) n;

-- What needs the rows to be there first -----------------------------------------------------------------------------------------
ALTER TABLE customers ADD FOREIGN KEY (default_address_id) REFERENCES addresses ON DELETE SET NULL DEFERRABLE;
CREATE UNIQUE INDEX customers_email_key ON customers (lower(email));
CREATE INDEX customers_active_idx ON customers (region_id) WHERE deleted_at IS NULL;
CREATE INDEX addresses_customer_idx ON addresses (customer_id);
CREATE INDEX products_category_idx ON products (category_id) INCLUDE (name, price);
CREATE INDEX products_attributes_idx ON products USING gin (attributes jsonb_path_ops);
CREATE INDEX products_search_idx ON products USING gin (to_tsvector('english', name || ' ' || description));
CREATE INDEX orders_customer_idx ON orders (customer_id, placed_at DESC);
CREATE INDEX orders_open_idx ON orders (placed_at) WHERE status IN ('placed', 'paid', 'packed');
CREATE INDEX order_items_product_idx ON order_items (product_id);
CREATE INDEX payments_order_idx ON payments (order_id);
CREATE INDEX shipments_order_idx ON shipments (order_id);
CREATE INDEX order_status_history_order_idx ON order_status_history (order_id, changed_at);
CREATE INDEX reviews_product_idx ON reviews (product_id) WHERE published;
CREATE INDEX support_tickets_open_idx ON support_tickets (priority, opened_at) WHERE closed_at IS NULL;
CREATE INDEX page_views_customer_idx ON page_views (customer_id, viewed_at);
CREATE INDEX page_views_time_idx ON page_views USING brin (viewed_at);
CREATE STATISTICS addresses_place (dependencies, ndistinct) ON city, country_code FROM addresses;

CREATE FUNCTION log_order_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := now();
  IF NEW.status IS DISTINCT FROM OLD.status THEN
    INSERT INTO shop.order_status_history (order_id, old_status, new_status) VALUES (NEW.id, OLD.status, NEW.status);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER orders_log_status BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION log_order_status();
CREATE FUNCTION net_price(gross numeric, vat_percent integer DEFAULT 19) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE
  AS $$ SELECT round(gross * 100 / (100 + vat_percent), 2) $$;
COMMENT ON FUNCTION net_price IS 'Price without VAT';

-- Shoppers see published reviews and their own; the application says who it acts for.
ALTER TABLE reviews ENABLE ROW LEVEL SECURITY;
CREATE POLICY reviews_visible ON reviews FOR SELECT USING (published OR customer_id = nullif(current_setting('shop.customer_id', true), '')::bigint);
CREATE POLICY reviews_own ON reviews FOR INSERT WITH CHECK (customer_id = nullif(current_setting('shop.customer_id', true), '')::bigint);

CREATE VIEW order_summary AS
  SELECT o.id, o.status, o.placed_at, o.total, c.full_name AS customer, r.code AS region, count(i.*) AS lines, sum(i.quantity) AS pieces
  FROM orders o JOIN customers c ON c.id = o.customer_id JOIN regions r ON r.id = c.region_id LEFT JOIN order_items i ON i.order_id = o.id
  GROUP BY o.id, c.full_name, r.code;
COMMENT ON VIEW order_summary IS 'One line per order for the service desk';
CREATE VIEW low_stock AS
  SELECT w.name AS warehouse, p.sku, p.name, i.quantity, i.reorder_level
  FROM inventory i JOIN warehouses w ON w.id = i.warehouse_id JOIN products p ON p.id = i.product_id
  WHERE i.quantity < i.reorder_level AND NOT p.discontinued;
CREATE MATERIALIZED VIEW monthly_revenue AS
  SELECT date_trunc('month', o.placed_at AT TIME ZONE 'UTC')::date AS month, p.category_id, sum(i.line_total) AS revenue, count(DISTINCT o.id) AS orders
  FROM orders o JOIN order_items i ON i.order_id = o.id JOIN products p ON p.id = i.product_id
  WHERE o.status NOT IN ('draft', 'placed', 'cancelled', 'returned')
  GROUP BY 1, 2;
CREATE UNIQUE INDEX monthly_revenue_key ON monthly_revenue (month, category_id);
COMMENT ON MATERIALIZED VIEW monthly_revenue IS 'Revenue before coupons per month and category; refreshed nightly';
COMMIT;
SET client_min_messages = error; -- who is not superuser may not analyse the catalogs; no need to say so
ANALYZE;
RESET client_min_messages;
