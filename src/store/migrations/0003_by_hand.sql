-- 1 for what a person had tried again: neither its age nor quiet hours hold it back.
ALTER TABLE deliveries ADD COLUMN by_hand INTEGER NOT NULL DEFAULT 0;
