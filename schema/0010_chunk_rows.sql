-- A passage's row stays whole: two kilobytes of text and words are neither worth compressing when written nor fetching from elsewhere when
-- a search scores hundreds of them.
ALTER TABLE chunks SET (toast_tuple_target = 8160);
