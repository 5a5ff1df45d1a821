-- What queries and reports share: 95 % intervals of a mean, the same as those in `metrics`.
--
-- They are Student's t, by the formulas of `stages/interval.py`; fewer than four values give none.
-- The quantile is the Cornish-Fisher expansion, within 1 % from 3 degrees of freedom on (Abramowitz
-- and Stegun 26.7.5). `w` weighs the values: a mean over questions weighs contexts by theirs, and its
-- error is that of a ratio of sums.
CREATE OR REPLACE MACRO t975(df) AS CASE WHEN df >= 3 THEN
    1.959964 + 2.372271 / df + 2.822497 / df ** 2 + 2.555850 / df ** 3 + 1.589534 / df ** 4 END;
CREATE OR REPLACE MACRO weighted(x, w) AS sum(x * w) / sum(w) FILTER (x IS NOT NULL);
CREATE OR REPLACE MACRO half_width(x, w) AS
    t975(count(x) - 1) * sqrt(count(x) * greatest(0, var_samp(x * w)
        - 2 * weighted(x, w) * covar_samp(x * w, w)
        + weighted(x, w) ** 2 * var_samp(CASE WHEN x IS NOT NULL THEN w END)))
    / sum(w) FILTER (x IS NOT NULL);
CREATE OR REPLACE MACRO mean_low(x, w := 1) AS weighted(x, w) - half_width(x, w);
CREATE OR REPLACE MACRO mean_high(x, w := 1) AS weighted(x, w) + half_width(x, w);
-- Bounds of a share. Where there is no interval there is none: greatest and least pass over nulls.
CREATE OR REPLACE MACRO at_least_0(x) AS CASE WHEN x < 0 THEN 0 ELSE x END;
CREATE OR REPLACE MACRO at_most_1(x) AS CASE WHEN x > 1 THEN 1 ELSE x END;
