-- Predictions, a row each. The first five columns are those of the table that users had before; it may exist.
CREATE TABLE IF NOT EXISTS prediction_results (
    image_key text,
    category text,
    confidence real,
    hostname text,
    time timestamptz
);
ALTER TABLE prediction_results
    ADD COLUMN IF NOT EXISTS id text,
    ADD COLUMN IF NOT EXISTS bucket text,
    ADD COLUMN IF NOT EXISTS model text,
    ADD COLUMN IF NOT EXISTS model_version text,
    ADD COLUMN IF NOT EXISTS topic text,
    ADD COLUMN IF NOT EXISTS partition integer,
    ADD COLUMN IF NOT EXISTS "offset" bigint,
    ADD COLUMN IF NOT EXISTS size bigint,
    ADD COLUMN IF NOT EXISTS sha256 text,
    ADD COLUMN IF NOT EXISTS is_detection boolean;
-- No primary key: rows from before have no id.
CREATE UNIQUE INDEX IF NOT EXISTS prediction_results_id ON prediction_results (id);
CREATE INDEX IF NOT EXISTS prediction_results_category_time ON prediction_results (category, time);
CREATE INDEX IF NOT EXISTS prediction_results_time ON prediction_results (time);

-- For readers who know confidence in percent.
CREATE OR REPLACE VIEW prediction_results_percent AS
    SELECT image_key, category, (confidence * 100)::real AS confidence, hostname, time FROM prediction_results;

CREATE OR REPLACE VIEW predictions_per_category AS
    SELECT category, count(*) AS images, avg(confidence) AS mean_confidence, max(time) AS latest
    FROM prediction_results GROUP BY category;

CREATE OR REPLACE VIEW predictions_per_host AS
    SELECT hostname, count(*) AS images, min(time) AS earliest, max(time) AS latest
    FROM prediction_results GROUP BY hostname;

CREATE OR REPLACE VIEW predictions_per_minute AS
    SELECT date_trunc('minute', time) AS minute, count(*) AS images, avg(confidence) AS mean_confidence
    FROM prediction_results GROUP BY 1;
