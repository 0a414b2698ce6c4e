-- The images that there are, a row each; the first column is that of the table that users had before; it may exist.
CREATE TABLE IF NOT EXISTS image_info (image_key text);
ALTER TABLE image_info
    ADD COLUMN IF NOT EXISTS size bigint,
    ADD COLUMN IF NOT EXISTS sha256 text,
    ADD COLUMN IF NOT EXISTS id bigint GENERATED ALWAYS AS IDENTITY,
    -- Which transaction added the row: of all that ended before the oldest open one, none can add a row any more. A
    -- sequence cannot tell that: a lower number may be committed later.
    ADD COLUMN IF NOT EXISTS added_by xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX IF NOT EXISTS image_info_added ON image_info (added_by, id);
CREATE INDEX IF NOT EXISTS image_info_key ON image_info (image_key);

-- How far the producer of keys is.
CREATE TABLE IF NOT EXISTS velox_progress (
    name text PRIMARY KEY,
    cluster text NOT NULL,
    added_by xid8 NOT NULL,
    id bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- Wakes a producer that follows the table; once a statement, however many rows it adds.
CREATE OR REPLACE FUNCTION velox_image_info_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('velox_image_info', '');
    RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS velox_image_info_changed ON image_info;
CREATE TRIGGER velox_image_info_changed AFTER INSERT ON image_info
    FOR EACH STATEMENT EXECUTE FUNCTION velox_image_info_changed();
