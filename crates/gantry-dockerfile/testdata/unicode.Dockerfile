FROM 例え/イメージ:タグ AS build
ENV 名前="値 と 空白" PLAIN=été
LABEL emoji="🐳 whale" 'ключ'=значение
COPY résumé.txt 文書*.md /données/
RUN echo "naïve — ¿qué? 한국어"
CMD ["echo", "\u00e9\ud83d\ude00", "🐳"]
