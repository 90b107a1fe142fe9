-- Orders get a number that may be shown in public, support may rely on a phone number, and shipments know who packed them.
ALTER TABLE shop.orders ADD COLUMN public_id uuid NOT NULL DEFAULT gen_random_uuid();
UPDATE shop.customers SET phone = 'unknown' WHERE phone IS NULL;
ALTER TABLE shop.customers ALTER COLUMN phone SET NOT NULL;
ALTER TABLE shop.shipments ADD COLUMN packed_by bigint REFERENCES shop.employees (id) ON DELETE SET NULL;
CREATE INDEX orders_status_idx ON shop.orders (status, placed_at);
