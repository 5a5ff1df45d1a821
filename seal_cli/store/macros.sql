-- What queries and reports share: Student's t and 95 % intervals of a mean.
--
-- The quantile is the Cornish-Fisher expansion, within 1 % from 3 degrees of freedom on (Abramowitz
-- and Stegun 26.7.5); fewer give no interval.
CREATE MACRO t975(df) AS CASE WHEN df >= 3 THEN
    1.959964 + 2.372271 / df + 2.822497 / df ** 2 + 2.555850 / df ** 3 + 1.589534 / df ** 4 END;
CREATE MACRO mean_low(x) AS avg(x) - t975(count(x) - 1) * stddev_samp(x) / sqrt(count(x));
CREATE MACRO mean_high(x) AS avg(x) + t975(count(x) - 1) * stddev_samp(x) / sqrt(count(x));
-- Bounds of a share. Where there is no interval there is none: greatest and least pass over nulls.
CREATE MACRO at_least_0(x) AS CASE WHEN x < 0 THEN 0 ELSE x END;
CREATE MACRO at_most_1(x) AS CASE WHEN x > 1 THEN 1 ELSE x END;
